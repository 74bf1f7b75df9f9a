//! What comes next: problems, documents and preference pairs as tokens, in the run's order.

pub mod documents;
pub mod order;
pub mod pairs;
pub mod preferences;
pub mod problems;
