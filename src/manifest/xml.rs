//! The XML of both generations of MHL: one element after the other, the whole list never as a tree.
//!
//! **In**: text. **Out**: the root, and each `<hash>` element. Pure.
//!
//! A list that ends before its root does is refused: its writer did not finish.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Deepest nesting of a list; a valid one needs six.
const DEEPEST: usize = 32;

/// An element, without its namespace.
#[derive(Debug, Default)]
pub struct Element {
    /// Local name.
    pub name: String,
    /// Attributes by local name.
    pub attributes: BTreeMap<String, String>,
    /// Its own text, without blanks around it.
    pub text: String,
    /// What is inside.
    pub children: Vec<Element>,
}

impl Element {
    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn begin(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut element = Self { name: start.local_name().as_ref().to_owned(), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| format!("is not well-formed XML: {error}"))?;
            let value = quick_xml::escape::unescape(&attribute.value)
                .map_err(|error| format!("is not well-formed XML: {error}"))?;
            element.attributes.insert(attribute.key.local_name().as_ref().to_owned(), value.into_owned());
        }
        Ok(element)
    }
}

/// What is told of each element: the names of those around it, and the element without what is inside.
pub type Outside<'a> = &'a dyn Fn(&[String], &Element) -> Result<(), String>;

/// Reads a list: reports its root first, then each entry, and to `outside` every element that is neither an entry nor inside one.
///
/// # Errors
/// What is not well-formed, or does not end; what those who are told refuse.
pub fn walk(
    text: &str,
    root: &mut dyn FnMut(&Element) -> Result<(), String>,
    is_entry: &dyn Fn(&[String], &str) -> bool,
    outside: Outside<'_>,
    entry: &mut dyn FnMut(Element) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = Reader::from_str(text);
    // The names of the elements around, and the open elements of the entry that is being read.
    let (mut around, mut open): (Vec<String>, Vec<Element>) = Default::default();
    let mut begun = false;
    loop {
        match reader.read_event().map_err(|error| malformed(&error))? {
            Event::Start(start) => {
                let element = Element::begin(&start)?;
                if around.is_empty() && !begun {
                    begun = true;
                    root(&element)?;
                } else if around.is_empty() {
                    return Err("is not well-formed XML: it has a second root".to_owned());
                }
                let name = element.name.clone();
                if !open.is_empty() || is_entry(&around, &name) {
                    open.push(element);
                } else if !around.is_empty() {
                    outside(&around, &element)?;
                }
                around.push(name);
                if around.len() > DEEPEST {
                    return Err(format!("is nested more than {DEEPEST} elements deep"));
                }
            }
            Event::Empty(start) => {
                let element = Element::begin(&start)?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None if is_entry(&around, &element.name) => entry(element)?,
                    None if around.is_empty() && !begun => {
                        begun = true;
                        root(&element)?;
                    }
                    None if around.is_empty() => {
                        return Err("is not well-formed XML: it has a second root".to_owned());
                    }
                    None => outside(&around, &element)?,
                }
            }
            Event::End(_) => {
                around.pop();
                if let Some(mut ended) = open.pop() {
                    ended.text = ended.text.trim().to_owned();
                    match open.last_mut() {
                        Some(parent) => parent.children.push(ended),
                        None => entry(ended)?,
                    }
                }
            }
            Event::Text(piece) if around.is_empty() && !piece.xml10_content().trim().is_empty() => {
                return Err("is not well-formed XML: it has text outside its root".to_owned());
            }
            Event::Text(piece) => add(&mut open, &piece.xml10_content()),
            Event::GeneralRef(reference) => add(&mut open, &resolved(&reference)?),
            Event::CData(piece) => add(&mut open, &piece),
            Event::Eof if around.is_empty() && begun => return Ok(()),
            Event::Eof if begun => return Err(CUT_OFF.to_owned()),
            Event::Eof => return Err("is empty".to_owned()),
            _ => {}
        }
    }
}

const CUT_OFF: &str = "is truncated: its writer did not finish";

fn malformed(error: &quick_xml::Error) -> String {
    match error {
        // What stops inside a tag or a comment is cut off like what stops between two.
        quick_xml::Error::Syntax(_) => CUT_OFF.to_owned(),
        error => format!("is not well-formed XML: {error}"),
    }
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn resolved(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, String> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character.to_string());
    }
    let name: &str = reference;
    let text = quick_xml::escape::resolve_predefined_entity(name);
    text.map(str::to_owned).ok_or_else(|| format!("uses the unknown entity `{name}`"))
}
