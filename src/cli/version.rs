//! `ha version`.

use super::{Code, output};

pub(super) fn perform() -> Code {
    output::print(concat!("ha ", env!("CARGO_PKG_VERSION"), "\n"));
    Code::OK
}
