//! A file or a packet after one to four slips of a hand, or of a disk: the same each time for the same number.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own machinery")]

/// Numbers that look random and are the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(below.max(1)).unwrap()).unwrap()
    }
}

/// The input, damaged by the `number` of an attempt. Text is damaged by words too, anything else by bytes alone.
pub(crate) fn damaged(input: &[u8], number: u64) -> Vec<u8> {
    let mut dice = Dice(number);
    let mut input = input.to_vec();
    for _ in 0..=dice.throw(4) {
        input = match std::str::from_utf8(&input) {
            Ok(text) if dice.throw(4) > 0 => damaged_tokens(text, &mut dice).into_bytes(),
            Ok(_) | Err(_) => damaged_bytes(input, &mut dice),
        };
    }
    input
}

/// Words, numbers, spaces, and each other character for itself.
fn tokens(text: &str) -> Vec<String> {
    let class = |c: char| if c.is_alphanumeric() || c == '_' { 1 } else { u8::from(c == ' ') * 2 };
    let mut tokens: Vec<String> = Vec::new();
    let mut last = 0;
    for c in text.chars() {
        match tokens.last_mut() {
            Some(token) if class(c) != 0 && class(c) == last => token.push(c),
            Some(_) | None => tokens.push(c.to_string()),
        }
        last = class(c);
    }
    tokens
}

fn damaged_tokens(text: &str, dice: &mut Dice) -> String {
    let mut tokens = tokens(text);
    if tokens.is_empty() {
        return String::new();
    }
    let (one, other) = (dice.throw(tokens.len()), dice.throw(tokens.len()));
    match dice.throw(5) {
        0 => drop(tokens.remove(one)),
        1 => tokens.insert(one, tokens[other].clone()),
        2 => tokens.swap(one, other),
        3 => drop(tokens.drain(one.min(other)..(one.min(other) + dice.throw(30)).min(tokens.len()))),
        _ => tokens.insert(one, HOSTILE[dice.throw(HOSTILE.len())].to_owned()),
    }
    tokens.concat()
}

/// What a hand would not slip to.
const HOSTILE: [&str; 22] = [
    "loop {}",
    "9223372036854775807",
    "-",
    "1e308",
    "[[[[",
    "|x|",
    "`${",
    "#{",
    "()",
    "this",
    "node",
    "check()",
    "/*",
    "\0",
    "9999.h",
    "Fn(\"check\").call()",
    "%00",
    "?a=%",
    "\r\n",
    "\"",
    "}",
    "255.255.255.255/33",
];

fn damaged_bytes(mut bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    let at = dice.throw(bytes.len());
    match dice.throw(5) {
        0 => drop(bytes.remove(at)),
        1 => bytes.insert(at, bytes[at]),
        2 => bytes.truncate(at),
        3 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.throw(5)],
        _ => bytes[at] ^= 1 << dice.throw(8),
    }
    bytes
}
