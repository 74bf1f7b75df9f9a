//! scratch
use expo_core::config::Config;
use expo_core::train::*;
use expo_lm::load::LoadedModel;
struct O;
impl Observer for O {
    fn on_step(&mut self, m: &StepMetrics) {
        if m.step % 10 == 0 || m.step < 4 {
            println!("{}", m.to_json());
        }
    }
}
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let config = Config::load(std::path::Path::new(&args[0]), &args[2..].to_vec()).unwrap();
    let policy = if config.model.init == expo_core::config::Init::Random {
        LoadedModel::random(&config.model.path, config.train.seed).unwrap()
    } else {
        LoadedModel::load(&config.model.path).unwrap()
    };
    let data = TrainData::load(&config).unwrap();
    let mut t = Trainer::new(config, policy, data, Some(std::path::Path::new(&args[1]))).unwrap();
    println!("{:?}", t.run(&mut O).unwrap());
}
