//! What of a policy depends on the role of its node: a rule that only one role evaluates, a question to the virtual address.
#![allow(clippy::wildcard_enum_match_arm, reason = "the script engine's syntax tree is not ours and open-ended")]

use rhai::{ASTNode, Expr, Position, Stmt};

/// The facts of `node` that say which role it has.
const ROLE: [&str; 4] = ["is_master", "is_backup", "has_vip", "state"];
/// The facts of `node` that are virtual addresses.
const VIRTUAL: [&str; 2] = ["vip", "vips"];

/// The expression asks which role the node has.
pub(super) fn asks_role(expression: &Expr) -> bool {
    mentions(expression, &ROLE)
}

/// The expression is made of the virtual address.
pub(super) fn asks_virtual_address(expression: &Expr) -> bool {
    mentions(expression, &VIRTUAL)
}

/// What stands at `position` below `above` runs in one role only.
pub(super) fn is_in_one_role(above: &[ASTNode<'_>], position: Position) -> bool {
    above.iter().any(|node| match node {
        ASTNode::Stmt(Stmt::If(branches, _)) => asks_role(&branches.expr) && position >= branches.body.position(),
        ASTNode::Stmt(Stmt::Switch(cases, _)) => asks_role(&cases.0),
        _ => false,
    })
}

/// A `return` below `above` ends the function in one role and in no other.
pub(super) fn leaves_in_one_role(above: &[ASTNode<'_>]) -> bool {
    above.iter().any(|node| match node {
        ASTNode::Stmt(Stmt::If(branches, _)) => is_all_role(&branches.expr),
        _ => false,
    })
}

fn is_all_role(expression: &Expr) -> bool {
    match expression {
        Expr::FnCall(call, _) => {
            call.is_operator_call()
                && call.args.iter().any(is_all_role)
                && call.args.iter().all(|operand| is_all_role(operand) || operand.is_constant())
        }
        Expr::Dot(..) => asks_role(expression),
        _ => false,
    }
}

fn mentions(expression: &Expr, facts: &[&str]) -> bool {
    let mut found = false;
    expression.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
        found |= matches!(path.last(), Some(ASTNode::Expr(expression)) if fact(expression).is_some_and(|name| facts.contains(&name)));
        true
    });
    found
}

/// `NAME` of `node.NAME`, also where it goes on from there.
fn fact(expression: &Expr) -> Option<&str> {
    let Expr::Dot(pair, ..) = expression else { return None };
    let Expr::Variable(variable, ..) = &pair.lhs else { return None };
    let first = match &pair.rhs {
        Expr::Dot(further, ..) | Expr::Index(further, ..) => &further.lhs,
        only => only,
    };
    match first {
        Expr::Property(property, _) if variable.1 == "node" => Some(property.2.as_str()),
        _ => None,
    }
}
