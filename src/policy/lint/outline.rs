//! What the text of a policy contains, as far as it can be known without running it.
#![allow(clippy::wildcard_enum_match_arm, reason = "the script engine's syntax tree is not ours and open-ended")]

use std::{collections::BTreeSet, time::Duration};

use rhai::{AST, ASTFlags, ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::roles;
use crate::policy::duration;

/// A place in the text, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(in crate::policy) struct Place {
    pub(in crate::policy) line: usize,
    pub(in crate::policy) column: usize,
}

/// The contents of a policy.
#[derive(Debug, Default)]
pub(in crate::policy) struct Outline {
    /// In the order of the text; closures are not among them.
    pub(in crate::policy) functions: Vec<Function>,
    /// In the order of the text.
    pub(in crate::policy) calls: Vec<Call>,
    /// Names of top-level constants.
    pub(in crate::policy) constants: Vec<String>,
    /// Those of them that are a text as it is written there.
    pub(in crate::policy) texts: BTreeSet<String>,
    /// Statements at top level that are neither a constant nor an import.
    pub(in crate::policy) strays: Vec<Place>,
    /// In the order of the text.
    pub(in crate::policy) imports: Vec<Import>,
    /// Calls of functions of modules, `web::nginx(…)`.
    pub(in crate::policy) qualified: Vec<Qualified>,
    /// Names with a module before them that are no calls.
    pub(in crate::policy) foreign: Vec<(String, Place)>,
    /// Every variable and parameter that is defined somewhere.
    pub(in crate::policy) variables: BTreeSet<String>,
    /// The calls that stand in closures: they happen when somebody calls those.
    in_closures: BTreeSet<Place>,
    /// Every key of a literal map: a method may be a closure in a map.
    pub(in crate::policy) keys: BTreeSet<String>,
    /// Variables that are made of the virtual address.
    virtual_variables: BTreeSet<String>,
    /// Where a function ends early in one role only.
    role_returns: Vec<Place>,
}

/// A function of the script.
#[derive(Debug)]
pub(in crate::policy) struct Function {
    pub(in crate::policy) name: String,
    pub(in crate::policy) parameters: usize,
    /// Only its own file may call it.
    pub(in crate::policy) is_private: bool,
    /// Where its body begins.
    pub(in crate::policy) place: Place,
    /// And ends.
    pub(in crate::policy) end: Place,
}

/// `import "lib/web" as web;`
#[derive(Clone, Debug)]
pub(in crate::policy) struct Import {
    pub(in crate::policy) place: Place,
    /// The name of the module, if it is a plain text.
    pub(in crate::policy) path: Option<String>,
    /// What it is called here; empty if it has no name.
    pub(in crate::policy) alias: String,
    /// It stands outside every function and block.
    pub(in crate::policy) is_at_top: bool,
}

/// A call of a function of a module.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Qualified {
    /// As written: `web`, or `web::inner`.
    pub(in crate::policy) module: String,
    pub(in crate::policy) name: String,
    pub(in crate::policy) place: Place,
    /// How many arguments it is given.
    pub(in crate::policy) given: usize,
    /// The function it stands in; `None` at top level.
    pub(in crate::policy) function: Option<String>,
    /// It stands in a closure.
    pub(in crate::policy) in_closure: bool,
}

/// A call of a function or a method.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Call {
    pub(in crate::policy) name: String,
    pub(in crate::policy) place: Place,
    /// The function it stands in; `None` at top level.
    pub(in crate::policy) function: Option<String>,
    pub(in crate::policy) is_method: bool,
    /// It stands in a closure.
    pub(in crate::policy) in_closure: bool,
    pub(in crate::policy) arguments: Vec<Literal>,
    /// The places of the calls around it, the outermost first.
    pub(in crate::policy) around: Vec<Place>,
    /// It stands inside an `if`, a `switch` or a loop.
    pub(in crate::policy) is_conditional: bool,
    /// It runs in one role of the node and in no other.
    pub(in crate::policy) in_one_role: bool,
    /// Its arguments ask which role the node has.
    pub(in crate::policy) asks_role: bool,
    /// Its first argument is made of the virtual address.
    pub(in crate::policy) asks_virtual_address: bool,
    /// The variable whose value it computes.
    pub(in crate::policy) binds: Option<String>,
}

/// What can be known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::policy) enum Literal {
    Text(String, Place),
    Number(f64, Place),
    Truth(bool, Place),
    Time(Duration, Place),
    List(Vec<Self>, Place),
    Map(Vec<(String, Place, Self)>, Place),
    Name(String, Place),
    /// Known only while it runs.
    Computed(Place),
}

impl Outline {
    pub(in crate::policy) fn of(ast: &AST) -> Self {
        let mut outline = Self::default();
        let statements: &[Stmt] = ast.as_ref();
        for statement in statements {
            outline.top_level(statement);
        }
        let mut functions: Vec<_> = ast.iter_fn_def().collect();
        functions.sort_by_key(|function| place(function.body.start_position()));
        for function in functions {
            outline.variables.extend(function.params.iter().map(ToString::to_string));
            if !is_closure(&function.name) {
                outline.functions.push(Function {
                    name: function.name.to_string(),
                    parameters: function.params.len(),
                    is_private: function.access.is_private(),
                    place: place(function.body.start_position()),
                    end: place(function.body.end_position()),
                });
            }
        }
        let mut closures = ast.clone_functions_only();
        closures.retain_functions(|_, _, name, _| is_closure(name));
        outline.in_closures = calls(&closures);
        ast.walk(&mut |path: &[ASTNode<'_>]| {
            outline.visit(path);
            true
        });
        outline.calls.sort_by_key(|call| call.place);
        outline
    }

    /// The option of a call's last argument, if it is written there.
    pub(in crate::policy) fn option<'a>(call: &'a Call, name: &str) -> Option<&'a Literal> {
        match call.arguments.last()? {
            Literal::Map(entries, _) => entries.iter().find(|(key, _, _)| key == name).map(|(_, _, value)| value),
            Literal::Text(..)
            | Literal::Number(..)
            | Literal::Truth(..)
            | Literal::Time(..)
            | Literal::List(..)
            | Literal::Name(..)
            | Literal::Computed(..) => None,
        }
    }

    fn top_level(&mut self, statement: &Stmt) {
        if let Stmt::Var(definition, flags, _) = statement
            && flags.contains(ASTFlags::CONSTANT)
        {
            let name = definition.0.name.to_string();
            if matches!(&definition.1, Expr::StringConstant(text, _) if !text.is_empty()) {
                self.texts.insert(name.clone());
            }
            self.constants.push(name);
        } else if !matches!(statement, Stmt::Noop(_) | Stmt::Import(..)) {
            self.strays.push(place(statement.position()));
        }
    }

    fn visit(&mut self, path: &[ASTNode<'_>]) {
        let Some((node, above)) = path.split_last() else { return };
        match node {
            ASTNode::Stmt(Stmt::Import(import, position)) => self.imports.push(Import {
                place: place(*position),
                path: match &import.0 {
                    Expr::StringConstant(path, _) => Some(path.to_string()),
                    _ => None,
                },
                alias: import.1.name.to_string(),
                is_at_top: above.is_empty() && self.function_at(place(*position)).is_none(),
            }),
            ASTNode::Expr(Expr::Variable(variable, _, position)) if !variable.2.is_empty() => {
                self.foreign.push((format!("{}::{}", module_of(&variable.2), variable.1), place(*position)));
            }
            ASTNode::Stmt(Stmt::Var(definition, ..)) => {
                self.variables.insert(definition.0.name.to_string());
                if roles::asks_virtual_address(&definition.1) {
                    self.virtual_variables.insert(definition.0.name.to_string());
                }
            }
            ASTNode::Stmt(Stmt::Return(_, _, position)) if roles::leaves_in_one_role(above) => {
                self.role_returns.push(place(*position));
            }
            ASTNode::Stmt(Stmt::For(definition, _)) => {
                self.variables.insert(definition.0.name.to_string());
                if roles::asks_virtual_address(&definition.2.expr) {
                    self.virtual_variables.insert(definition.0.name.to_string());
                }
            }
            ASTNode::Expr(Expr::Map(entries, _)) => {
                self.keys.extend(entries.0.iter().map(|(key, _)| key.name.to_string()));
            }
            _ => {}
        }
        let Some((call, position, is_method)) = call(node) else { return };
        if call.is_operator_call() {
            return;
        }
        if call.is_qualified() {
            self.qualified.push(Qualified {
                module: module_of(&call.namespace),
                name: call.name.to_string(),
                place: place(position),
                given: call.args.len(),
                function: self.function_at(place(position)).map(|function| function.name.clone()),
                in_closure: self.in_closures.contains(&place(position)),
            });
            return;
        }
        self.calls.push(Call {
            name: call.name.to_string(),
            place: place(position),
            function: self.function_at(place(position)).map(|function| function.name.clone()),
            is_method,
            in_closure: self.in_closures.contains(&place(position)),
            arguments: call.args.iter().map(literal).collect(),
            around: above
                .iter()
                .filter_map(|node| self::call(node))
                .map(|(_, position, _)| self::place(position))
                .collect(),
            is_conditional: above.iter().any(branches),
            in_one_role: roles::is_in_one_role(above, position) || self.is_after_a_role_left(place(position)),
            asks_role: call.args.iter().any(roles::asks_role),
            asks_virtual_address: call.args.first().is_some_and(|target| self.is_virtual(target)),
            binds: above.iter().rev().find_map(|node| match node {
                ASTNode::Stmt(Stmt::Var(definition, ..)) => Some(definition.0.name.to_string()),
                _ => None,
            }),
        });
    }
}

impl Call {
    /// The name of the function that it calls, or makes a pointer to.
    pub(in crate::policy) fn callee(&self) -> Option<&str> {
        match self.arguments.first() {
            Some(Literal::Text(name, _)) if self.name == "Fn" => Some(name),
            _ if self.name == "Fn" => None,
            _ => Some(&self.name),
        }
    }

    /// By its name and its arguments it can mean this function: as a function, as a method, or through a pointer to it.
    pub(in crate::policy) fn may_call(&self, function: &Function) -> bool {
        let given = self.arguments.len();
        let fits = given == function.parameters || self.is_method && given + 1 == function.parameters;
        self.callee() == Some(function.name.as_str()) && (self.name == "Fn" || fits)
    }
}

impl Outline {
    /// The named function around a place; a closure belongs to the function it stands in.
    fn function_at(&self, place: Place) -> Option<&Function> {
        self.functions.iter().find(|function| (function.place..=function.end).contains(&place))
    }

    fn is_after_a_role_left(&self, place: Place) -> bool {
        let Some(function) = self.function_at(place) else { return false };
        self.role_returns.iter().any(|left| (function.place..place).contains(left))
    }

    fn is_virtual(&self, target: &Expr) -> bool {
        match target {
            Expr::Variable(variable, ..) => self.virtual_variables.contains(variable.1.as_str()),
            other => roles::asks_virtual_address(other),
        }
    }
}

impl Literal {
    pub(in crate::policy) const fn place(&self) -> Place {
        match self {
            Self::Text(_, place)
            | Self::Number(_, place)
            | Self::Truth(_, place)
            | Self::Time(_, place)
            | Self::List(_, place)
            | Self::Map(_, place)
            | Self::Name(_, place)
            | Self::Computed(place) => *place,
        }
    }

    /// As a duration, if it is one.
    pub(in crate::policy) fn duration(&self) -> Option<Duration> {
        match self {
            Self::Text(text, _) => duration::parse(text),
            Self::Number(seconds, _) => duration::from_seconds(*seconds),
            Self::Time(duration, _) => Some(*duration),
            Self::Truth(..) | Self::List(..) | Self::Map(..) | Self::Name(..) | Self::Computed(..) => None,
        }
    }

    pub(in crate::policy) const fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number, _) => Some(*number),
            Self::Text(..)
            | Self::Truth(..)
            | Self::Time(..)
            | Self::List(..)
            | Self::Map(..)
            | Self::Name(..)
            | Self::Computed(..) => None,
        }
    }

    pub(in crate::policy) const fn is_true(&self) -> bool {
        matches!(self, Self::Truth(true, _))
    }

    /// As it was written, if it is plain.
    pub(in crate::policy) fn show(&self) -> Option<String> {
        match self {
            Self::Text(text, _) => Some(text.clone()),
            Self::Number(number, _) => Some(number.to_string()),
            Self::Truth(truth, _) => Some(truth.to_string()),
            Self::Time(time, _) => Some(duration::show(*time)),
            Self::List(..) | Self::Map(..) | Self::Name(..) | Self::Computed(..) => None,
        }
    }
}

fn call<'a>(node: &ASTNode<'a>) -> Option<(&'a FnCallExpr, Position, bool)> {
    match node {
        ASTNode::Stmt(Stmt::FnCall(call, position)) | ASTNode::Expr(Expr::FnCall(call, position)) => {
            Some((call, *position, false))
        }
        ASTNode::Expr(Expr::MethodCall(call, position)) => Some((call, *position, true)),
        _ => None,
    }
}

/// What the script engine calls a function that has no name.
fn is_closure(name: &str) -> bool {
    name.starts_with("anon$")
}

/// Where calls stand.
fn calls(ast: &AST) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        places.extend(path.last().and_then(call).map(|(_, position, _)| place(position)));
        true
    });
    places
}

/// The modules before a name.
fn module_of(namespace: &rhai::Namespace) -> String {
    namespace.path.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join("::")
}

fn branches(node: &ASTNode<'_>) -> bool {
    matches!(node, ASTNode::Stmt(Stmt::If(..) | Stmt::Switch(..) | Stmt::While(..) | Stmt::Do(..) | Stmt::For(..)))
}

fn literal(expression: &Expr) -> Literal {
    let here = place(expression.start_position());
    match expression {
        Expr::StringConstant(text, _) => Literal::Text(text.to_string(), here),
        Expr::BoolConstant(truth, _) => Literal::Truth(*truth, here),
        #[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "only small numbers matter to lint")]
        Expr::IntegerConstant(number, _) => Literal::Number(*number as f64, here),
        Expr::FloatConstant(number, _) => Literal::Number(**number, here),
        Expr::Array(items, _) => Literal::List(items.iter().map(literal).collect(), here),
        Expr::Map(entries, _) => {
            let entry = |(key, value): &(rhai::Ident, Expr)| (key.name.to_string(), place(key.pos), literal(value));
            Literal::Map(entries.0.iter().map(entry).collect(), here)
        }
        Expr::Variable(variable, ..) => Literal::Name(variable.1.to_string(), here),
        Expr::Dot(pair, ..) => {
            time(&pair.lhs, &pair.rhs).map_or(Literal::Computed(here), |time| Literal::Time(time, here))
        }
        _ => Literal::Computed(here),
    }
}

/// `2.s`
fn time(number: &Expr, unit: &Expr) -> Option<Duration> {
    let Expr::Property(property, _) = unit else { return None };
    duration::parse(&format!("{}{}", literal(number).number()?, property.2))
}

pub(in crate::policy) fn place(position: Position) -> Place {
    Place { line: position.line().unwrap_or_default(), column: position.position().unwrap_or_default() }
}
