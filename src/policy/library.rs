//! What the modules of this program say of themselves: their own comments and signatures.

use super::{
    Engine,
    lint::{Place, place},
    sources,
};

/// A module that comes with this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandardModule {
    /// As it is imported: `std/web`.
    pub name: &'static str,
    /// What it is for.
    pub summary: String,
    /// Those that others may call, in the order of the text.
    pub functions: Vec<StandardFunction>,
}

/// One of its functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandardFunction {
    /// Its name.
    pub name: String,
    /// Its parameters, for each way to call it.
    pub forms: Vec<Vec<String>>,
    /// What it does.
    pub summary: String,
}

/// All of them, by name.
#[must_use]
pub fn standard_library(engine: &Engine) -> Vec<StandardModule> {
    sources::standard_modules()
        .map(|(name, text)| StandardModule {
            name,
            summary: paragraphs(text.lines().filter_map(|line| line.strip_prefix("//!"))),
            functions: functions(engine, text),
        })
        .collect()
}

fn functions(engine: &Engine, text: &str) -> Vec<StandardFunction> {
    let Ok(ast) = engine.parse(text) else { return Vec::new() };
    let mut found: Vec<(Place, StandardFunction)> = ast
        .iter_fn_def()
        .filter(|function| !function.access.is_private() && !function.name.starts_with("anon$"))
        .map(|function| {
            let line = function.body.start_position().line().unwrap_or(1);
            let function_of = StandardFunction {
                name: function.name.to_string(),
                forms: vec![function.params.iter().map(ToString::to_string).collect()],
                summary: paragraphs(comment_above(text, line).into_iter()),
            };
            (place(function.body.start_position()), function_of)
        })
        .collect();
    found.sort_by_key(|(place, _)| *place);
    let mut functions: Vec<StandardFunction> = Vec::new();
    for (_, function) in found {
        match functions.iter_mut().find(|known| known.name == function.name) {
            Some(known) => known.forms.extend(function.forms),
            None => functions.push(function),
        }
    }
    functions
}

/// The lines of the comment that ends above a line (from 1), in order.
fn comment_above(text: &str, line: usize) -> Vec<&str> {
    let above: Vec<&str> = text.lines().take(line.saturating_sub(1)).collect();
    let comment = above.iter().rev().map_while(|line| line.trim_start().strip_prefix("///"));
    let mut lines: Vec<&str> = comment.collect();
    lines.reverse();
    lines
}

/// Lines of a comment as text: an empty one ends a paragraph.
fn paragraphs<'t>(lines: impl Iterator<Item = &'t str>) -> String {
    let lines: Vec<&str> = lines.map(str::trim).collect();
    let paragraphs = lines.split(|line| line.is_empty()).map(|paragraph| paragraph.join(" "));
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_says_what_it_and_each_of_its_functions_is_for() {
        let library = standard_library(&Engine::new());
        assert_eq!(library.len(), sources::standard_modules().count());
        for module in &library {
            assert!(!module.summary.is_empty() && !module.functions.is_empty(), "{}", module.name);
            for function in &module.functions {
                assert!(!function.summary.is_empty(), "{}: {}", module.name, function.name);
            }
        }
        let web = library.iter().find(|module| module.name == "std/web").unwrap();
        let nginx = StandardFunction {
            name: "nginx".into(),
            forms: vec![vec!["url".into(), "opts".into()], vec!["url".into()]],
            summary: "nginx: its unit is active and it answers with the wanted status.".into(),
        };
        assert_eq!(web.functions[0], nginx);
    }
}
