//! RL post-training of reasoning language models with self-explanations (ExPO), in one binary.
fn main() {}
