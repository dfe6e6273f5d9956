//! The appearance of a portal's page: what its team may choose.

use url::Url;

use crate::http::refusal::Refusal;
use crate::records::portals::Brand;

/// The maximum length of an image URL, in bytes.
const LONGEST_ADDRESS: usize = 2048;

/// Applies the given colour, logo and background; an empty value removes one.
pub(super) fn apply(
    (color, logo, background): (Option<String>, Option<String>, Option<String>),
    brand: &mut Brand,
) -> Result<(), Refusal> {
    if let Some(color) = color {
        brand.primary_color = self::color(color.trim())?;
    }
    if let Some(logo) = logo {
        brand.logo_url = picture("logo_url", logo.trim())?;
    }
    if let Some(background) = background {
        brand.background_url = picture("background_url", background.trim())?;
    }
    Ok(())
}

/// A colour as `#rrggbb`, in lower case; empty for none.
fn color(given: &str) -> Result<String, Refusal> {
    let digits = given.strip_prefix('#').unwrap_or(given).to_ascii_lowercase();
    if given.is_empty() {
        return Ok(String::new());
    }
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) || !matches!(digits.len(), 3 | 6) {
        return Err(Refusal::invalid(format!("primary_color: {given:?} is not a colour such as #1d5fc4")));
    }
    let full = if digits.len() == 3 { digits.chars().flat_map(|digit| [digit, digit]).collect() } else { digits };
    Ok(format!("#{full}"))
}

/// The URL of an image in a form that is safe in a style sheet; empty for none.
fn picture(name: &str, given: &str) -> Result<String, Refusal> {
    if given.is_empty() {
        return Ok(String::new());
    }
    let wrong = || Refusal::invalid(format!("{name}: {given:?} is not the http or https address of a picture"));
    let mut address = Url::parse(given).map_err(|_| wrong())?;
    if !matches!(address.scheme(), "http" | "https") || !address.has_host() || given.len() > LONGEST_ADDRESS {
        return Err(wrong());
    }
    address.set_fragment(None);
    // The rest that could end a text in quotes is escaped by now.
    Ok(String::from(address).replace('\\', "%5C"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_has_three_or_six_digits() {
        let read = |text| color(text).map_err(|refusal| refusal.message);
        assert_eq!(read("#1D5FC4").as_deref(), Ok("#1d5fc4"));
        assert_eq!(
            (read("#abc").as_deref(), read("abc").as_deref(), read("").as_deref()),
            (Ok("#aabbcc"), Ok("#aabbcc"), Ok(""))
        );
        for bad in ["red", "#12", "#12345g", "#fff}body{", "url(x)"] {
            assert!(read(bad).unwrap_err().starts_with("primary_color: "), "{bad}");
        }
    }

    #[test]
    fn an_address_of_a_picture_ends_no_style() {
        let read = |text| picture("logo_url", text).map_err(|refusal| refusal.message);
        assert_eq!(read("https://h.example.com/logo.png#x").as_deref(), Ok("https://h.example.com/logo.png"));
        let odd = read("https://h.example.com/a\"b?c\"d\\e'f\n)").unwrap();
        assert!(!odd.contains(['"', '\\', '\n']), "{odd}");
        for bad in ["logo.png", "javascript:alert(1)", "data:image/png;base64,AA", "http:///x.png"] {
            assert!(read(bad).is_err() || bad.starts_with("http:///"), "{bad}");
        }
    }
}
