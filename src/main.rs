//! The binary `masv`: see the library for everything it does.

fn main() {}
