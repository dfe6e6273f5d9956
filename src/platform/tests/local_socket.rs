//! In a process of its own: what is made while a socket is made is closed to others, in other tests as well.

use std::io;
use std::os::unix::fs::MetadataExt;

use masv_platform::listen_locally;

#[test]
fn one_listens_at_a_place_and_what_a_crash_left_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let listener = listen_locally(&path, 0o660).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o660);
    assert_eq!(listen_locally(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(listener);
    assert!(path.exists(), "as after a crash");
    listen_locally(&path, 0o600).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
}
