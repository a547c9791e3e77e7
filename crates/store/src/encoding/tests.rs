//! Golden bytes of every fact, and that reading undoes writing.
