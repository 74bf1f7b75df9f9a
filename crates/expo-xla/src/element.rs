//! Element types and shapes of arrays, in programs and on devices.

use std::fmt;

use half::{bf16, f16};

/// The type of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ElementType {
    /// Truth values, one byte each.
    Pred,
    /// Signed integers of 8 bits.
    S8,
    /// Signed integers of 32 bits.
    S32,
    /// Signed integers of 64 bits.
    S64,
    /// Unsigned integers of 8 bits.
    U8,
    /// Unsigned integers of 32 bits.
    U32,
    /// Unsigned integers of 64 bits.
    U64,
    /// IEEE floating point of 16 bits.
    F16,
    /// Floating point of 16 bits with the exponent of [`ElementType::F32`].
    Bf16,
    /// IEEE floating point of 32 bits.
    F32,
    /// IEEE floating point of 64 bits.
    F64,
}

impl ElementType {
    /// All of them.
    pub const ALL: [Self; 11] =
        [Self::Pred, Self::S8, Self::S32, Self::S64, Self::U8, Self::U32, Self::U64, Self::F16, Self::Bf16, Self::F32, Self::F64];

    /// StableHLO's spelling, as in `tensor<2x3xf32>`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pred => "i1",
            Self::S8 => "i8",
            Self::S32 => "i32",
            Self::S64 => "i64",
            Self::U8 => "ui8",
            Self::U32 => "ui32",
            Self::U64 => "ui64",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Bytes of one element in the host's memory.
    pub const fn size(self) -> usize {
        match self {
            Self::Pred | Self::S8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::S32 | Self::U32 | Self::F32 => 4,
            Self::S64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Whether it is a floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Element type and dimensions of an array; its layout is row-major wherever the host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The type of the elements.
    pub element: ElementType,
    /// The size of each dimension, outermost first; empty for a scalar.
    pub dimensions: Vec<usize>,
}

impl Shape {
    /// An array of `element` with `dimensions`.
    pub fn new(element: ElementType, dimensions: &[usize]) -> Self {
        Self { element, dimensions: dimensions.to_vec() }
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.dimensions.len()
    }

    /// The number of elements; `None` if it does not fit in `usize`.
    pub fn elements(&self) -> Option<usize> {
        self.dimensions.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
    }
}

impl fmt::Display for Shape {
    /// As in StableHLO, without `tensor`: `2x3xf32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for size in &self.dimensions {
            write!(f, "{size}x")?;
        }
        f.write_str(self.element.name())
    }
}

mod sealed {
    /// Implemented here alone, since the client hands memory of these types to a plugin.
    pub trait Sealed {}
}

/// A Rust type that an array's elements have in the host's memory.
pub trait Element: Copy + Send + Sync + 'static + bytemuck::NoUninit + sealed::Sealed {
    /// The element type that it stands for.
    const TYPE: ElementType;
    /// What a device may write: a type of the same size for which every bit pattern is a value.
    type Bits: bytemuck::Pod + Send;
    /// The values of what a device wrote.
    fn from_bits(bits: Vec<Self::Bits>) -> Vec<Self>;
}

macro_rules! elements {
    ($($rust:ty => $element:ident),* $(,)?) => { $(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const TYPE: ElementType = ElementType::$element;
            type Bits = Self;
            fn from_bits(bits: Vec<Self>) -> Vec<Self> {
                bits
            }
        }
    )* };
}

elements! { i8 => S8, i32 => S32, i64 => S64, u8 => U8, u32 => U32, u64 => U64, f16 => F16, bf16 => Bf16, f32 => F32, f64 => F64 }

impl sealed::Sealed for bool {}
impl Element for bool {
    const TYPE: ElementType = ElementType::Pred;
    type Bits = u8;
    fn from_bits(bits: Vec<u8>) -> Vec<Self> {
        bits.into_iter().map(|byte| byte != 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_written_as_in_stablehlo() {
        assert_eq!(Shape::new(ElementType::Bf16, &[2, 3]).to_string(), "2x3xbf16");
        assert_eq!(Shape::new(ElementType::Pred, &[]).to_string(), "i1");
    }

    #[test]
    fn a_product_of_dimensions_that_overflows_is_told() {
        assert_eq!(Shape::new(ElementType::F32, &[usize::MAX, 2]).elements(), None);
        assert_eq!(Shape::new(ElementType::F32, &[]).elements(), Some(1));
        assert_eq!(Shape::new(ElementType::F32, &[4, 0]).elements(), Some(0));
    }

    #[test]
    fn sizes_are_those_of_the_rust_types() {
        fn check<T: Element>() {
            assert_eq!(size_of::<T>(), T::TYPE.size());
            assert_eq!(size_of::<T::Bits>(), T::TYPE.size());
        }
        check::<bool>();
        check::<i8>();
        check::<i32>();
        check::<i64>();
        check::<u8>();
        check::<u32>();
        check::<u64>();
        check::<f16>();
        check::<bf16>();
        check::<f32>();
        check::<f64>();
    }
}
