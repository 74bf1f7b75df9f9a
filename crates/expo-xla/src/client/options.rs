//! How a program is compiled, in the protocol buffer that XLA asks for.

use super::raw::Value;

/// How a program is compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct CompileOptions {
    /// Copies of the program that run at once, each on a device of its own, with collectives between them.
    pub replicas: usize,
    /// Parts that one copy is divided into by Shardy, by the program's own annotations.
    pub partitions: usize,
    /// The numbers of the devices ([`Description::id`](super::Description)), for each replica its partitions; `None`:
    /// the first ones.
    pub devices: Option<Vec<i64>>,
    /// XLA's own flags, without dashes: `("xla_gpu_autotune_level", 0.into())`. XLA refuses those that it does not
    /// know. They win over those that are always set: `xla_allow_excess_precision` off, so that a product in bfloat16
    /// is rounded alike in every program.
    pub flags: Vec<(String, Value)>,
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self { replicas: 1, partitions: 1, devices: None, flags: Vec::new() }
    }
}

impl CompileOptions {
    /// For `replicas` copies of a program.
    pub fn replicas(replicas: usize) -> Self {
        Self { replicas, ..Self::default() }
    }

    /// The same with one more of XLA's flags.
    pub fn flag(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.flags.push((name.to_owned(), value.into()));
        self
    }

    /// A serialised `CompileOptionsProto` (xla/pjrt/proto/compile_options.proto).
    pub fn encode(&self) -> Vec<u8> {
        let mut build = Message::default();
        // device_ordinal, where -1 is "not set".
        build.varint(1, u64::MAX);
        build.varint(4, self.replicas as u64);
        build.varint(5, self.partitions as u64);
        if self.partitions > 1 {
            // use_spmd_partitioning, use_shardy_partitioner.
            build.varint(6, 1);
            build.varint(19, 1);
        }
        if let Some(devices) = &self.devices {
            // DeviceAssignmentProto: replica_count, computation_count, then for each computation (partition) the
            // devices of its replicas.
            let mut assignment = Message::default();
            assignment.varint(1, self.replicas as u64);
            assignment.varint(2, self.partitions as u64);
            for partition in 0..self.partitions {
                let mut ids = Message::default();
                for device in devices.iter().skip(partition).step_by(self.partitions.max(1)) {
                    ids.varint(1, *device as u64);
                }
                assignment.message(3, &ids);
            }
            build.message(9, &assignment);
        }
        let mut options = Message::default();
        options.message(3, &build);
        let precision = ("xla_allow_excess_precision".to_owned(), Value::Boolean(false));
        let own = (!self.flags.iter().any(|(name, _)| *name == precision.0)).then_some(&precision);
        for (name, value) in own.into_iter().chain(&self.flags) {
            // env_option_overrides, a map: key, value (OptionOverrideProto).
            let mut number = Message::default();
            match value {
                Value::Text(text) => number.bytes(1, text.as_bytes()),
                Value::Boolean(boolean) => number.varint(2, u64::from(*boolean)),
                Value::Integer(integer) => number.varint(3, *integer as u64),
                Value::Float(float) => number.double(4, f64::from(*float)),
                Value::Integers(_) => number.bytes(1, value.to_string().as_bytes()),
            }
            let mut entry = Message::default();
            entry.bytes(1, name.as_bytes());
            entry.message(2, &number);
            options.message(7, &entry);
        }
        options.0
    }
}

/// A protocol buffer's message under way.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut value: u64) {
        while value >= 128 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.number(field << 3);
        self.number(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.number(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.number(field << 3 | 2);
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_by_default() {
        let mut expected = vec![3 << 3 | 2, 15, 1 << 3];
        // -1 in ten bytes.
        expected.extend([255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        expected.extend([4 << 3, 1, 5 << 3, 1]);
        expected.extend([7 << 3 | 2, 32, 1 << 3 | 2, 26]);
        expected.extend(b"xla_allow_excess_precision");
        expected.extend([2 << 3 | 2, 2, 2 << 3, 0]);
        assert_eq!(CompileOptions::default().encode(), expected);
    }

    #[test]
    fn a_flag_of_the_callers_wins() {
        let options = CompileOptions::default().flag("xla_allow_excess_precision", true);
        let encoded = options.encode();
        assert_eq!(encoded.windows(26).filter(|window| window == b"xla_allow_excess_precision").count(), 1);
        assert_eq!(encoded[encoded.len() - 2..], [2 << 3, 1]);
    }

    #[test]
    fn long_fields_have_lengths_of_several_bytes() {
        let mut message = Message::default();
        message.bytes(1, &[0; 300]);
        assert_eq!(message.0[..3], [1 << 3 | 2, 300u16 as u8 | 128, 2]);
    }
}
