//! What commands exit with, as far as it is known, and what comes of two of them.

use super::{super::Expr, Value};

/// A condition of more probes than this is nothing that anybody reads, and policies have a limit for how deep one goes.
const PROBES_MAX: usize = 16;

/// What something exits with, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Zero,
    Other,
    /// 0 if this is so.
    If(Expr),
}

/// `if asked then yes else no`; `None` if it gets too long.
pub(super) fn either(asked: Status, yes: Status, no: Status) -> Option<Status> {
    use Status::{If, Other, Zero};
    let asked = match asked {
        Zero => return Some(yes),
        Other => return Some(no),
        If(asked) => asked,
    };
    let status = match (yes, no) {
        (Zero, Zero) => Zero,
        (Other, Other) => Other,
        (Zero, Other) => If(asked),
        (Other, Zero) => If(not(asked)),
        (Zero, If(no)) => If(Expr::Any(vec![asked, no])),
        (If(yes), Other) => If(Expr::All(vec![asked, yes])),
        (Other, If(no)) => If(Expr::All(vec![not(asked), no])),
        (If(yes), Zero) => If(Expr::Any(vec![not(asked), yes])),
        (If(yes), If(no)) if yes == no => If(yes),
        (If(yes), If(no)) => {
            let with = Expr::All(vec![asked.clone(), yes]);
            If(Expr::Any(vec![with, Expr::All(vec![not(asked), no])]))
        }
    };
    match &status {
        If(expr) if probes(expr) > PROBES_MAX => None,
        Zero | Other | If(_) => Some(status),
    }
}

/// `[ left sign right ]`; `bash`: it knows `==`.
pub(super) fn compared(left: &Value, sign: &str, right: &Value, bash: bool) -> Option<Status> {
    let sign = if sign == "==" && bash { "=" } else { sign };
    match (left, right) {
        (Value::Status(status), Value::Text(zero)) if zero == "0" => match sign {
            "-eq" | "=" => Some(status.clone()),
            "-ne" | "!=" | "-gt" => either(status.clone(), Status::Other, Status::Zero),
            _ => None,
        },
        (Value::Text(left), Value::Text(right)) => {
            let same = match sign {
                "=" => left == right,
                "!=" => left != right,
                "-eq" => number(left)? == number(right)?,
                "-ne" => number(left)? != number(right)?,
                "-gt" => number(left)? > number(right)?,
                _ => return None,
            };
            Some(if same { Status::Zero } else { Status::Other })
        }
        (Value::Status(_) | Value::Text(_), Value::Status(_) | Value::Text(_)) => None,
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.chars().all(|digit| digit.is_ascii_digit()))
}

fn not(expr: Expr) -> Expr {
    match expr {
        Expr::Not(inner) => *inner,
        Expr::Probe(_) | Expr::All(_) | Expr::Any(_) => Expr::Not(Box::new(expr)),
    }
}

fn probes(expr: &Expr) -> usize {
    match expr {
        Expr::Probe(_) => 1,
        Expr::Not(inner) => probes(inner),
        Expr::All(parts) | Expr::Any(parts) => parts.iter().map(probes).sum(),
    }
}
