//! Bootstrap: the embedded model is pretrained with this very binary, so the binary has to build before its weights exist.

fn main() {
    let source = std::path::Path::new("../../assets/tiny/model.safetensors");
    let target = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("model.safetensors");
    println!("cargo:rerun-if-changed={}", source.display());
    let bytes = std::fs::read(source).unwrap_or_else(|_| {
        println!("cargo:warning=assets/tiny/model.safetensors is missing: embedded:tiny works with model.init = \"random\" only");
        vec![]
    });
    std::fs::write(target, bytes).expect("OUT_DIR can be written");
}
