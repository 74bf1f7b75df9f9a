//! Constants, with their spelling in StableHLO's text.

use half::{bf16, f16};

use super::{ElementType, Error, Result, Shape};

/// A constant's elements.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// The same value everywhere; rounded to the element type.
    Splat(f64),
    /// A list of whole numbers, row-major: for tables of indices.
    Integers(Vec<i64>),
    /// A list of floats, row-major.
    Floats(Vec<f64>),
}

impl Literal {
    /// Checks it against the type that it is to have.
    pub(super) fn check(&self, ty: &Shape) -> Result<()> {
        let (found, kind) = match self {
            Self::Splat(value) => {
                let whole = value.fract() == 0.0 && range(ty.element).is_some_and(|r| r.contains(&(*value as i128)));
                return if whole || ty.element.is_float() {
                    Ok(())
                } else {
                    Err(Error::new("constant", format!("{value} is no element of {ty}")))
                };
            }
            Self::Integers(list) => {
                let Some(range) = range(ty.element) else {
                    return Err(Error::new("constant", format!("whole numbers of {ty}")));
                };
                if let Some(value) = list.iter().find(|v| !range.contains(&i128::from(**v))) {
                    return Err(Error::new("constant", format!("{value} is no element of {ty}")));
                }
                (list.len(), true)
            }
            Self::Floats(list) => (list.len(), ty.element.is_float()),
        };
        if ty.elements() != Some(found) || !kind {
            return Err(Error::new("constant", format!("{found} values of another kind or count than {ty}")));
        }
        Ok(())
    }

    /// The text between `dense<` and `>`.
    pub(super) fn dense(&self, ty: &Shape) -> String {
        match self {
            Self::Splat(value) => element(*value, ty.element),
            Self::Integers(list) => nested(&ty.dimensions, &mut list.iter().map(|v| element(*v as f64, ty.element))),
            Self::Floats(list) => nested(&ty.dimensions, &mut list.iter().map(|v| element(*v, ty.element))),
        }
    }
}

/// Lists in lists, as the shape says.
fn nested(shape: &[usize], values: &mut dyn Iterator<Item = String>) -> String {
    match shape.split_first() {
        None => values.next().unwrap_or_default(),
        Some(_) if shape.contains(&0) => String::new(),
        Some((size, rest)) => {
            let list: Vec<String> = (0..*size).map(|_| nested(rest, values)).collect();
            format!("[{}]", list.join(", "))
        }
    }
}

/// The whole numbers that are elements of a type; none for floats.
fn range(element: ElementType) -> Option<std::ops::RangeInclusive<i128>> {
    Some(match element {
        ElementType::Pred => 0..=1,
        ElementType::S8 => i128::from(i8::MIN)..=i128::from(i8::MAX),
        ElementType::S32 => i128::from(i32::MIN)..=i128::from(i32::MAX),
        ElementType::S64 => i128::from(i64::MIN)..=i128::from(i64::MAX),
        ElementType::U8 => 0..=i128::from(u8::MAX),
        ElementType::U32 => 0..=i128::from(u32::MAX),
        ElementType::U64 => 0..=i128::from(u64::MAX),
        ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64 => return None,
    })
}

/// One element in MLIR's text: the shortest decimal that reads back as the same value, bits where there is none.
fn element(value: f64, element: ElementType) -> String {
    let decimal = |text: String| match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text,
    };
    match element {
        ElementType::Pred => (value != 0.0).to_string(),
        ElementType::F64 if value.is_finite() => decimal(format!("{value:e}")),
        ElementType::F64 => format!("0x{:016X}", value.to_bits()),
        ElementType::F32 if (value as f32).is_finite() => decimal(format!("{:e}", value as f32)),
        ElementType::F32 => format!("0x{:08X}", (value as f32).to_bits()),
        ElementType::Bf16 if bf16::from_f64(value).is_finite() => decimal(format!("{:e}", bf16::from_f64(value).to_f32())),
        ElementType::Bf16 => format!("0x{:04X}", bf16::from_f64(value).to_bits()),
        ElementType::F16 if f16::from_f64(value).is_finite() => decimal(format!("{:e}", f16::from_f64(value).to_f32())),
        ElementType::F16 => format!("0x{:04X}", f16::from_f64(value).to_bits()),
        _ => (value as i128).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_written_so_that_they_read_back() {
        assert_eq!(element(1.0, ElementType::F32), "1.0e0");
        assert_eq!(element(0.1, ElementType::F64), "1.0e-1");
        assert_eq!(element(1.25e-7, ElementType::F32), "1.25e-7");
        assert_eq!(element(f64::NEG_INFINITY, ElementType::F32), "0xFF800000");
        assert_eq!(element(f64::INFINITY, ElementType::Bf16), "0x7F80");
        assert_eq!(element(-3.0, ElementType::S32), "-3");
        assert_eq!(element(1.0, ElementType::Pred), "true");
        // 1e300 is infinite in f32, and is written as that.
        assert_eq!(element(1e300, ElementType::F32), "0x7F800000");
    }

    #[test]
    fn constants_are_checked_against_their_type() {
        let ty = Shape::new(ElementType::S32, &[2, 2]);
        assert_eq!(Literal::Integers(vec![1, 2, 3, 4]).dense(&ty), "[[1, 2], [3, 4]]");
        assert!(Literal::Integers(vec![1, 2, 3]).check(&ty).is_err());
        assert!(Literal::Floats(vec![1.0; 4]).check(&ty).is_err());
        assert!(Literal::Splat(0.5).check(&ty).is_err());
        assert!(Literal::Splat(-1.0).check(&Shape::new(ElementType::U32, &[])).is_err());
        assert!(Literal::Integers(vec![1 << 40]).check(&Shape::new(ElementType::S32, &[1])).is_err());
    }
}
