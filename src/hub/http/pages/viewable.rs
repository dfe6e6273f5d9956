//! Which files a browser can show, and as what: an allow-list. Nothing of it can run: no HTML, no SVG, no XML but as plain text.
//!
//! **In**: the name and the size of a file. **Out**: how it is shown. Pure.

/// How something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Picture,
    Audio,
    Video,
    Document,
    Text,
}

impl Shown {
    /// Its name in the template.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Picture => "picture",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
            Self::Text => "text",
        }
    }
}

/// The largest text that is shown, bytes.
const LARGEST_TEXT: u64 = 1 << 20;
/// The largest picture that is shown, bytes.
const LARGEST_PICTURE: u64 = 200 << 20;

/// How a file of this name and size is shown, and with which type of content; nothing for one that is only downloaded.
pub(super) fn shown(name: &str, size: u64) -> Option<(Shown, &'static str)> {
    let (_, end) = name.rsplit_once('.')?;
    let found = match end.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" | "jfif" => (Shown::Picture, "image/jpeg"),
        "png" | "apng" => (Shown::Picture, "image/png"),
        "gif" => (Shown::Picture, "image/gif"),
        "webp" => (Shown::Picture, "image/webp"),
        "avif" => (Shown::Picture, "image/avif"),
        "bmp" => (Shown::Picture, "image/bmp"),
        "mp3" => (Shown::Audio, "audio/mpeg"),
        "m4a" => (Shown::Audio, "audio/mp4"),
        "aac" => (Shown::Audio, "audio/aac"),
        "wav" => (Shown::Audio, "audio/wav"),
        "flac" => (Shown::Audio, "audio/flac"),
        "ogg" | "oga" | "opus" => (Shown::Audio, "audio/ogg"),
        "mp4" | "m4v" => (Shown::Video, "video/mp4"),
        "mov" => (Shown::Video, "video/quicktime"),
        "webm" => (Shown::Video, "video/webm"),
        "ogv" => (Shown::Video, "video/ogg"),
        "pdf" => (Shown::Document, "application/pdf"),
        "txt" | "text" | "log" | "md" | "csv" | "tsv" | "json" | "xml" | "yaml" | "yml" | "ini" | "nfo" | "srt"
        | "vtt" | "edl" | "ale" | "fcpxml" | "cube" | "cdl" | "ccc" | "mhl" | "md5" | "sha1" | "sha256" | "sha512"
        | "xxh" | "xxhash" | "sfv" => (Shown::Text, "text/plain; charset=utf-8"),
        _ => return None,
    };
    let fits = match found.0 {
        Shown::Text => size <= LARGEST_TEXT,
        Shown::Picture => size <= LARGEST_PICTURE,
        Shown::Audio | Shown::Video | Shown::Document => true,
    };
    (fits && size > 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser would run is offered to be downloaded, never to be seen.
    #[test]
    fn nothing_that_can_run_is_shown_as_what_it_is() {
        for name in
            ["a.html", "a.htm", "a.svg", "a.svgz", "a.xhtml", "a.js", "a.mjs", "a.swf", "a.mht", "a", "a.", ".x"]
        {
            assert_eq!(shown(name, 10), None, "{name}");
        }
        for name in ["a.xml", "page.html.xml", "A.MHL", "x.Json"] {
            assert_eq!(shown(name, 10), Some((Shown::Text, "text/plain; charset=utf-8")), "{name}");
        }
        assert_eq!(shown("clip.MOV", 1 << 40), Some((Shown::Video, "video/quicktime")));
        assert_eq!(shown("still.jpg.html", 10), None);
        assert_eq!((shown("log.txt", LARGEST_TEXT + 1), shown("empty.png", 0)), (None, None));
    }
}
