//! The HTTP edge: posts in, counters out.
