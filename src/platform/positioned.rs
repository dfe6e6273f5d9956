//! Reading and writing at a place of a file that several tasks share, without a position of its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Fills `block` with the bytes from `offset` on.
///
/// # Errors
/// The system's; [`io::ErrorKind::UnexpectedEof`] when the file ends before.
pub fn read_exact_at(file: &File, block: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(block, offset)
}

/// Writes all of `block` to the bytes from `offset` on.
///
/// # Errors
/// The system's.
pub fn write_all_at(file: &File, block: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(block, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_at_a_place_is_read_there() {
        let file = tempfile::tempfile().unwrap();
        write_all_at(&file, b"part 2", 6).unwrap();
        write_all_at(&file, b"part 1", 0).unwrap();
        let mut block = [0; 8];
        read_exact_at(&file, &mut block, 4).unwrap();
        assert_eq!(&block, b" 1part 2");
        assert_eq!(read_exact_at(&file, &mut block, 5).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
