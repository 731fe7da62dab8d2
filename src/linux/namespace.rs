//! For the tests of this floor: a network of their own, in a process of their own.
