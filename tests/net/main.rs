//! Tests in a real kernel, each in namespaces of its own.

fn main() {}
