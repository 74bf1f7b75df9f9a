//! Means and their spread, for rewards, metrics and evaluations alike.

/// Arithmetic mean; 0 of nothing. Of equal values it is exactly that value, so that equal rewards give advantages of exactly 0.
pub fn mean(values: &[f64]) -> f64 {
    match values {
        [] => 0.0,
        [first, rest @ ..] if rest.iter().all(|value| value == first) => *first,
        _ => values.iter().sum::<f64>() / values.len() as f64,
    }
}

/// Sample standard deviation (N - 1 in the denominator); 0 of fewer than two values.
pub fn std_dev(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

/// Standard error of the mean of independent values; 0 of fewer than two.
pub fn standard_error(values: &[f64]) -> f64 {
    std_dev(values) / (values.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_few_and_of_equal_values() {
        assert_eq!((mean(&[]), std_dev(&[]), standard_error(&[])), (0.0, 0.0, 0.0));
        assert_eq!((mean(&[3.0]), std_dev(&[3.0]), standard_error(&[3.0])), (3.0, 0.0, 0.0));
        // Summed and divided, ten times 0.1 is not 0.1.
        assert_eq!((mean(&[0.1; 10]), std_dev(&[0.1; 10])), (0.1, 0.0));
        let values = [1.0, 2.0, 4.0, 5.0];
        assert_eq!((mean(&values), std_dev(&values).powi(2)), (3.0, 10.0 / 3.0));
        assert!((standard_error(&values) - (10.0f64 / 12.0).sqrt()).abs() < 1e-15);
    }
}
