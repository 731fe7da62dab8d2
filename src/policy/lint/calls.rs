//! Which functions of the language the text of a policy calls.

use super::{Literal, Outline, warnings::is_of_test};
use crate::policy::{
    Engine,
    language::{self, Function},
};

/// A call of a function of the language, as it is written.
#[derive(Clone, Debug)]
pub struct Called {
    /// The function.
    pub function: &'static Function,
    /// The line, from 1.
    pub line: usize,
    /// The options in its literal map, and their values where these are plain.
    pub options: Vec<(String, Option<String>)>,
    /// Its map of options is not written there, or not only.
    pub is_computed: bool,
}

/// Every call, tests apart, in the order of the text. None where the text does not parse.
pub(in crate::policy) fn calls(engine: &Engine, source: &str) -> Vec<Called> {
    let Ok(ast) = engine.parse(source) else { return Vec::new() };
    let outline = Outline::of(&ast);
    let of_policy = outline.calls.iter().filter(|call| !is_of_test(call));
    let called = of_policy.filter_map(|call| {
        let function = language::function(&call.name)?;
        let most = function.arities().max().unwrap_or_default();
        let (options, is_computed) = match call.arguments.last().filter(|_| call.arguments.len() == most) {
            Some(Literal::Map(entries, _)) => {
                (entries.iter().map(|(key, _, value)| (key.clone(), value.show())).collect(), false)
            }
            Some(Literal::Name(..) | Literal::Computed(_)) => (Vec::new(), true),
            Some(
                Literal::Text(..) | Literal::Number(..) | Literal::Truth(..) | Literal::Time(..) | Literal::List(..),
            )
            | None => (Vec::new(), false),
        };
        Some(Called { function, line: call.place.line, options, is_computed })
    });
    called.collect()
}
