//! The pair on one machine, with real packets in throw-away namespaces.
