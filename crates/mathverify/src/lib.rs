//! Extraction and comparison of final answers in mathematical text.
