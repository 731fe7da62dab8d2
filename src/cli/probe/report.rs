//! What one attempt showed, for people and as `ha.probe/1`.

use serde_json::{Value, json};

use super::{
    expression::{Expression, RULE},
    listening::Exchange,
};
use crate::{
    cli::{
        Code, judged,
        output::{WIDTH, wrap},
        paint::Paint,
        privileges,
    },
    policy::{
        Report,
        language::{self, Function},
        probe::{Field, ProbeOutcome},
    },
};

/// The name and version of the document.
const SCHEMA: &str = "ha.probe/1";
/// Where the second column begins.
const INDENT: usize = 12;

/// One evaluation of the expression.
#[derive(Debug)]
pub(super) struct Attempt {
    /// `None`: no information.
    ok: Option<bool>,
    why: String,
    /// It could not be evaluated: `why` says where.
    is_wrong: bool,
    elapsed_ms: f64,
    exchanges: Vec<Exchange>,
}

impl Attempt {
    pub(super) fn of(report: &Report, exchanges: Vec<Exchange>, expression: &Expression) -> Self {
        let rule = report.rules.iter().find(|rule| rule.name == RULE);
        let error = report.error.as_ref().map(|error| expression.explain(error));
        Self {
            ok: rule.filter(|_| error.is_none()).and_then(|rule| rule.ok),
            is_wrong: error.is_some(),
            why: error.or_else(|| rule.map(|rule| rule.why.clone())).unwrap_or_default(),
            elapsed_ms: report.elapsed.as_secs_f64() * 1e3,
            exchanges,
        }
    }

    /// 0 ok, 2 not, 3 no information.
    pub(super) fn code(&self) -> Code {
        match self.ok {
            Some(true) => Code::OK,
            Some(false) => Code(2),
            None => Code(3),
        }
    }

    /// The first time everything, then a line each.
    pub(super) fn text(&self, number: u32, expression: &Expression, paint: Paint) -> String {
        if number > 0 {
            return self.line(number, paint);
        }
        let mut text: String = self.exchanges.iter().map(|exchange| explained(exchange, expression, paint)).collect();
        if self.exchanges.len() != 1 || self.is_wrong {
            text += &format!("altogether  {} {}\n", mark(self.ok, paint), wrap(&self.why, INDENT + 2));
        }
        if self.is_wrong {
            return text;
        }
        let rule = format!("require(\"NAME\", {}, #{{ fall: 3, rise: 2 }});", expression.text());
        text + format!("as a rule   {}\n", rule.replace('\n', "\n            ")).as_str()
    }

    fn line(&self, number: u32, paint: Paint) -> String {
        let took = judged::took(self.elapsed_ms);
        format!("{:<12}{} {}  {took}\n", format!("#{}", number + 1), mark(self.ok, paint), self.why)
    }

    fn document(&self) -> Value {
        json!({
            "ok": self.ok,
            "why": self.why,
            "elapsed_ms": self.elapsed_ms,
            "probes": self.exchanges.iter().map(exchange).collect::<Vec<_>>(),
        })
    }
}

/// Every attempt.
pub(super) fn document(attempts: &[Attempt], expression: &Expression, code: Code) -> Value {
    json!({
        "schema": SCHEMA,
        "expression": expression.text(),
        "attempts": attempts.iter().map(Attempt::document).collect::<Vec<_>>(),
        "exit": code.0,
    })
}

fn exchange(exchange: &Exchange) -> Value {
    let outcome = exchange.outcome.as_ref();
    let fields = outcome.into_iter().flat_map(|outcome| &outcome.fields);
    let fields: serde_json::Map<String, Value> =
        fields.map(|(name, field)| ((*name).to_owned(), field_json(field))).collect();
    json!({
        "kind": exchange.request.kind.name(),
        "target": exchange.request.kind.target(),
        "key": exchange.request.key(),
        "timeout_ms": u64::try_from(exchange.request.timeout.as_millis()).unwrap_or(u64::MAX),
        "ok": outcome.map(|outcome| outcome.ok),
        "why": outcome.map(|outcome| &outcome.why),
        "error": outcome.map(|outcome| outcome.error.as_str()),
        "blind": outcome.map(|outcome| outcome.blind),
        "elapsed_ms": outcome.map(|outcome| outcome.elapsed.as_secs_f64() * 1e3),
        "fields": fields,
    })
}

fn field_json(field: &Field) -> Value {
    match field {
        Field::Unit => Value::Null,
        Field::Bool(truth) => json!(truth),
        Field::Int(number) => json!(number),
        Field::Float(number) => json!(number),
        Field::Text(text) => json!(text),
        Field::Texts(texts) => json!(texts),
        Field::List(items) => items.iter().map(field_json).collect(),
        Field::Map(named) => named.iter().map(|(name, value)| (name.clone(), field_json(value))).collect(),
    }
}

fn explained(exchange: &Exchange, expression: &Expression, paint: Paint) -> String {
    let request = &exchange.request;
    let mut text = format!("{}\n", paint.strong(&request.label()));
    let function = language::function(request.kind.name());
    if let Some(function) = function {
        text += &asked(function, expression);
    }
    text += &answered(exchange.outcome.as_ref(), paint);
    if let Some(function) = function {
        text += &needs(function);
    }
    text + format!("  in a test fake(\"{}\", #{{ ok: false }});\n", request.key()).as_str()
}

/// Every option: as it was written, or its default.
fn asked(function: &Function, expression: &Expression) -> String {
    let call = expression.call(function.name);
    let written = |name: &str| call.and_then(|call| call.options.iter().find(|(option, _)| option == name));
    let mut options = Vec::new();
    let mut unset = Vec::new();
    for option in function.choices() {
        match (written(option.name), option.default) {
            (Some((_, Some(value))), _) => options.push(format!("{} {value}", option.name)),
            (Some((_, None)), _) => options.push(format!("{} as written", option.name)),
            (None, "") => unset.push(option.name),
            (None, default) => options.push(format!("{} {} (default)", option.name, default.trim_matches('"'))),
        }
    }
    let mut text = format!("  asked     {}\n", wrap(&options.join(", "), INDENT));
    if call.is_some_and(|call| call.is_computed) {
        text += "            some options are computed: the defaults of those are not in force\n";
    }
    if !unset.is_empty() {
        text += &format!("  not set   {}\n", wrap(&unset.join(", "), INDENT));
    }
    text
}

fn answered(outcome: Option<&ProbeOutcome>, paint: Paint) -> String {
    let Some(outcome) = outcome else {
        return "  answered  nothing within the deadline of the evaluation\n".to_owned();
    };
    let ok = if outcome.blind { None } else { Some(outcome.ok) };
    let why = wrap(&outcome.why, INDENT + 2);
    let took = judged::took(outcome.elapsed.as_secs_f64() * 1e3);
    let mut text = format!("  answered  {} {why}  in {took}\n", mark(ok, paint));
    if !outcome.error.as_str().is_empty() {
        text += &format!("  error     {}\n", outcome.error.as_str());
    }
    if outcome.blind {
        text += "  blind     this machine could not look: no information, a rule stays as it is for `blind_for`\n";
    }
    for (number, (name, field)) in outcome.fields.iter().enumerate() {
        let heading = if number == 0 { "  fields    " } else { "            " };
        text += &format!("{heading}{name} {}\n", shown(field, WIDTH.saturating_sub(INDENT + name.len() + 1)));
    }
    text
}

/// On one line, cut where the line ends.
fn shown(field: &Field, room: usize) -> String {
    let text = field_json(field).to_string();
    if text.chars().count() <= room {
        return text;
    }
    let bytes = text.len();
    let short: String = text.chars().take(room.saturating_sub(20)).collect();
    format!("{short}… ({bytes} bytes)")
}

fn needs(function: &Function) -> String {
    if function.privilege.is_empty() {
        return String::new();
    }
    let lacking = privileges::lacking([function], privileges::is_held);
    let has = match (function.capabilities().next(), lacking.is_empty()) {
        (None, _) => String::new(),
        (Some(_), true) => "; this process has it".to_owned(),
        (Some(_), false) => format!("; this process has not {}", privileges::named(&lacking)),
    };
    format!("  needs     {}\n", wrap(&format!("{}{has}", function.privilege), INDENT))
}

fn mark(ok: Option<bool>, paint: Paint) -> String {
    match ok {
        Some(true) => paint.good("✔"),
        Some(false) => paint.bad("✘"),
        None => paint.doubtful("?"),
    }
}
