//! The names in a source: every path, wherever it is written, with `self` and `super` worked out.
//!
//! **In**: a parsed file and its path. **Out**: [`Names`]. Imports in groups, renamed, over several lines; paths in the middle of code, in
//! the arguments of macros, and in strings of attributes (`#[serde(with = "crate::…")]`). Comments, documentation, visibilities and
//! what is compiled for tests only are left out.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Lit, Meta, Stmt, TraitItem, UseTree};

use crate::sources::{is_for_tests, short};

/// What a source names.
#[derive(Debug, Default)]
pub struct Names {
    /// Paths into the workspace: the crate without `masv-`, then the names in it.
    pub ours: Vec<(String, Vec<String>)>,
    /// All other paths, as written.
    pub others: Vec<String>,
    /// Texts in the code.
    pub texts: Vec<String>,
    /// Operating systems that something is compiled for.
    pub conditions: Vec<String>,
}

/// The names in a file of this crate that is this module.
pub fn names(file: &syn::File, package: &str, module: &[String]) -> Names {
    let mut visitor = Visitor { package, module: module.to_vec(), names: Names::default() };
    visitor.visit_file(file);
    visitor.names
}

struct Visitor<'a> {
    package: &'a str,
    module: Vec<String>,
    names: Names,
}

impl Visitor<'_> {
    fn path(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        let up = path.iter().take_while(|name| *name == "super").count();
        let (package, inside) = match first.as_str() {
            "crate" => (self.package.to_owned(), rest.to_vec()),
            "self" if rest.first().is_some_and(|name| name == "super") => return self.path(rest),
            "self" if !rest.is_empty() => (self.package.to_owned(), [&self.module[..], rest].concat()),
            "super" => {
                let above = self.module.len().saturating_sub(up);
                (self.package.to_owned(), [&self.module[..above], &path[up..]].concat())
            }
            first => match short(first) {
                Some(package) => (package, rest.to_vec()),
                None => return self.names.others.push(path.join("::")),
            },
        };
        self.names.ours.push((package, inside));
    }

    fn import(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.import(&with(path.ident.to_string()), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(before, tree)),
            UseTree::Glob(_) => self.path(before),
            UseTree::Name(name) if name.ident == "self" => self.path(before),
            UseTree::Rename(name) if name.ident == "self" && !before.is_empty() => self.path(before),
            UseTree::Name(name) => self.path(&with(name.ident.to_string())),
            UseTree::Rename(name) => self.path(&with(name.ident.to_string())),
        }
    }

    /// Paths and texts in what a macro is given.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    self.tokens(group.stream());
                }
                TokenTree::Literal(literal) => {
                    self.end(&mut path);
                    if let Lit::Str(text) = Lit::new(literal) {
                        self.names.texts.push(text.value());
                    }
                }
                TokenTree::Punct(_) => self.end(&mut path),
            }
            colons = 0;
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        // One name alone is a variable or a field of the macro's own language.
        if path.len() > 1 || path.first().is_some_and(|name| is_errno(name)) {
            self.path(&path);
        }
    }
}

/// Names by which the numbers of errors are read, each system having its own.
fn is_errno(name: &str) -> bool {
    matches!(name, "raw_os_error" | "from_raw_os_error")
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::ExternCrate(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if is_for_tests(attributes) {
            return;
        }
        match item {
            Item::Use(item) => {
                item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
                self.import(&[], &item.tree);
            }
            Item::ExternCrate(item) => self.path(&[item.ident.to_string()]),
            Item::Mod(item) => {
                self.module.push(item.ident.to_string());
                visit::visit_item_mod(self, item);
                self.module.pop();
            }
            item => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes: &[Attribute] = if let TraitItem::Fn(item) = item { &item.attrs } else { &[] };
        if !is_for_tests(attributes) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let attributes: &[Attribute] = if let Stmt::Local(local) = statement { &local.attrs } else { &[] };
        if !is_for_tests(attributes) {
            visit::visit_stmt(self, statement);
        }
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(&written);
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if is_errno(&call.method.to_string()) {
            self.names.others.push(call.method.to_string());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.names.texts.push(text.value());
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        if invocation.path.is_ident("cfg") {
            return self.condition(&invocation.tokens.to_string());
        }
        self.visit_path(&invocation.path);
        self.tokens(invocation.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        if let Meta::List(list) = &attribute.meta {
            if list.path.is_ident("cfg") || list.path.is_ident("cfg_attr") {
                self.condition(&list.tokens.to_string());
            }
            let before = self.names.texts.len();
            self.tokens(list.tokens.clone());
            for text in self.names.texts.split_off(before) {
                // `#[serde(with = "crate::place")]`, `#[error("…")]`.
                match text.parse().ok().filter(|_| !text.contains(' ')) {
                    Some(tokens) => self.tokens(tokens),
                    None => self.names.texts.push(text),
                }
            }
        }
    }
}

impl Visitor<'_> {
    fn condition(&mut self, tokens: &str) {
        let systems = ["target_os", "target_family", "unix", "windows", "target_vendor"];
        let words = tokens.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        self.names.conditions.extend(words.filter(|word| systems.contains(word)).map(str::to_owned));
    }
}
