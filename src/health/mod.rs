//! Hysteresis: gates over outcomes, with time as an argument.
