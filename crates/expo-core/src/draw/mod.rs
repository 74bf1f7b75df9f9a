//! What a step draws.

pub mod explain;
pub mod hints;
pub mod made_pairs;
pub mod pairs;
pub mod probe;
pub mod rationales;
pub mod rollouts;
