use super::*;

fn names(files: &[&str]) -> Vec<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

fn select<'a>(config: &'a str, split: &'a str) -> Selection<'a> {
    Selection { config, split }
}

/// A hub of some revisions, whose files needn't be there.
struct Fake(Vec<(&'static str, Vec<&'static str>)>);

impl Hub for Fake {
    fn list(&self, revision: &str) -> Result<(String, Vec<String>), String> {
        let found = self.0.iter().find(|(name, _)| *name == revision).ok_or("status code 404")?;
        Ok((format!("commit of {revision}"), names(&found.1)))
    }
    fn get(&self, commit: &str, file: &str) -> Result<PathBuf, String> {
        Ok(Path::new(commit).join(file))
    }
    fn done(&self, _: &str, _: &str) {}
}

fn paths(found: Result<Found>) -> Vec<String> {
    found.unwrap().files.iter().map(|file| file.path.display().to_string()).collect()
}

#[test]
fn addresses_are_told_from_paths() {
    let plain = Address { name: "openai/gsm8k", revision: None, path: "", is_explicit: false };
    assert_eq!(Address::parse("openai/gsm8k"), Some(plain));
    let file = Address { name: "a/b.c", revision: Some("v1".into()), path: "x/*.parquet", is_explicit: true };
    assert_eq!(Address::parse("hf://datasets/a/b.c@v1/x/*.parquet"), Some(file));
    let special = Address { name: "a/b", revision: Some("refs/convert/parquet".into()), path: "main/*/0000.parquet", is_explicit: true };
    assert_eq!(Address::parse("hf://datasets/a/b@refs/convert/parquet/main/*/0000.parquet"), Some(special));
    let special = Address { name: "a/b", revision: Some("refs/pr/1".into()), path: "", is_explicit: true };
    assert_eq!(Address::parse("hf://datasets/a/b@refs/pr/1"), Some(special));
    assert!(Address::parse("hf://datasets/a/b@refs").is_some());
    let whole = Address { name: "a/b", revision: None, path: "", is_explicit: true };
    assert_eq!(Address::parse("hf://datasets/a/b"), Some(whole));
    for path in [
        "data",
        "./a",
        "../a",
        "/a/b",
        "a/b/c",
        "a/",
        "with space/x",
        "hf://datasets/a",
        "hf://datasets/",
        "hf://datasets/a/../b",
        "hf://a/b",
    ] {
        assert_eq!(Address::parse(path), None, "{path}");
    }
}

#[test]
fn the_converted_branch_is_read_by_configuration_and_split() {
    let files = names(&["main/train/0001.parquet", "main/train/0000.parquet", "main/test/0000.parquet", "socratic/train/0000.parquet"]);
    let chosen = |config, split| by_folder(&files, select(config, split));
    assert_eq!(chosen("main", "train").unwrap().unwrap(), ["main/train/0000.parquet", "main/train/0001.parquet"]);
    assert_eq!(chosen("", "train").unwrap_err(), "several configurations; set data.config to one of `main`, `socratic`");
    assert_eq!(chosen("mian", "train").unwrap_err(), "no configuration \"mian\"; set data.config to one of `main`, `socratic`");
    assert_eq!(chosen("main", "dev").unwrap_err(), "no split \"dev\"; set data.split to one of `test`, `train`");
    // The only configuration needs no name; of a part of a split nothing is taken.
    let one = names(&["default/train/0000.parquet", "default/partial-test/0000.parquet"]);
    assert_eq!(by_folder(&one, select("", "train")).unwrap().unwrap().len(), 1);
    assert_eq!(by_folder(&one, select("", "test")).unwrap(), None);
    assert_eq!(by_folder(&names(&["README.md"]), select("", "train")).unwrap(), None);
}

#[test]
fn own_files_are_chosen_by_their_names() {
    let chosen = |files: &[&str], config, split| by_name(&names(files), select(config, split));
    let shards =
        ["README.md", "data/test-00000-of-00001.parquet", "data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet"];
    assert_eq!(chosen(&shards, "", "train").unwrap(), ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]);
    assert_eq!(chosen(&["train.jsonl", "train.csv", "test.jsonl"], "", "train").unwrap(), ["train.jsonl"]);
    assert_eq!(chosen(&["gsm8k_train.jsonl", "train_prefs.jsonl"], "", "train").unwrap(), ["gsm8k_train.jsonl"]);
    assert_eq!(chosen(&["gsm8k_train.jsonl", "train_prefs.jsonl"], "", "train_prefs").unwrap(), ["train_prefs.jsonl"]);
    assert_eq!(chosen(&["all.jsonl", "x.md"], "", "train").unwrap(), ["all.jsonl"]);
    let folders = ["main/train-0.parquet", "socratic/train-0.parquet"];
    assert_eq!(chosen(&folders, "main", "train").unwrap(), ["main/train-0.parquet"]);
    assert!(chosen(&folders, "", "train").unwrap_err().contains("data.config to one of `main`, `socratic`"));
    assert!(chosen(&["all.jsonl"], "", "test").unwrap_err().contains("split \"test\" (data.split)"));
    assert!(chosen(&["model.bin"], "", "train").unwrap_err().contains("no file that can be read"));
}

#[test]
fn patterns() {
    assert!(matches("a/b.parquet", "a/b.parquet") && matches("a/*.parquet", "a/b.parquet") && matches("*/*", "a/b.parquet"));
    assert!(matches("train-*", "train-é"));
    assert!(!matches("*.parquet", "a/b.parquet") && !matches("a/*.parquet", "a/b.csv") && !matches("a", "a/b"));
}

#[test]
fn the_hub_is_asked_for_the_converted_branch_then_for_the_files_themselves() {
    let address = Address::parse("o/n").unwrap();
    let nothing = Fake(vec![]);
    let converted = Fake(vec![(CONVERTED, vec!["d/train/0000.parquet"]), (MAIN, vec!["train.csv"])]);
    let found = from(Ok(&converted), &nothing, &address, select("", "train")).unwrap();
    assert_eq!((found.files.len(), found.notice), (1, None));
    assert_eq!(found.files[0].name, "hf://datasets/o/n@commit of refs/convert/parquet/d/train/0000.parquet");
    let plain = Fake(vec![(MAIN, vec!["train.csv"])]);
    assert_eq!(paths(from(Ok(&plain), &nothing, &address, select("", "train"))), ["commit of main/train.csv"]);
    // Files by their own names, at a revision.
    let tagged = Fake(vec![("v1", vec!["x/a-1.csv", "x/a-0.csv", "b.csv"])]);
    let address = Address::parse("hf://datasets/o/n@v1/x/a-*.csv").unwrap();
    let expected = ["commit of v1/x/a-0.csv", "commit of v1/x/a-1.csv"];
    assert_eq!(paths(from(Ok(&tagged), &nothing, &address, select("", "train"))), expected);
    // A shard by itself is whole.
    let shards = Fake(vec![(MAIN, vec!["a-00000-of-00002.parquet", "a-00001-of-00002.parquet"])]);
    let address = Address::parse("hf://datasets/o/n/a-00001-of-00002.parquet").unwrap();
    assert_eq!(paths(from(Ok(&shards), &nothing, &address, select("", "train"))), ["commit of main/a-00001-of-00002.parquet"]);
    let address = Address::parse("hf://datasets/o/n@v1/y.csv").unwrap();
    let error = from(Ok(&tagged), &nothing, &address, select("", "train")).unwrap_err().to_string();
    assert_eq!(error, "data set `o/n`: no file `y.csv`; it has `x/a-1.csv`, `x/a-0.csv`, `b.csv`");
}

#[test]
fn the_cache_serves_where_the_hub_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path().to_owned());
    let cached = Cached { cache: cache.clone(), name: "o/n" };
    let address = Address::parse("o/n").unwrap();
    let offline = || Err("no route".to_owned());
    let error = from(offline(), &cached, &address, select("", "train")).unwrap_err().to_string();
    assert_eq!(error, "data set `o/n` is neither a local file nor in the cache, and the hub gave an error: no route");

    // As hf-hub leaves it.
    let snapshot = cache.repo(repo("o/n", CONVERTED)).pointer_path("c0ffee");
    let put = |file: &str| {
        let path = snapshot.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    };
    put("default/train/0001.parquet");
    cache.repo(repo("o/n", CONVERTED)).create_ref("c0ffee").unwrap();
    // A download that was broken off, last file first.
    assert!(from(offline(), &cached, &address, select("", "train")).unwrap_err().to_string().contains("no route"));
    put("default/train/0000.parquet");
    let found = from(offline(), &cached, &address, select("", "train")).unwrap();
    assert!(
        found.notice.as_deref().is_some_and(|notice| notice.contains("can't be reached (no route); using 2 file(s) of o/n")),
        "{found:?}"
    );
    assert!(found.files.len() == 2 && found.files[0].path.ends_with("default/train/0000.parquet") && found.files[0].path.exists());
    let error = from(offline(), &cached, &address, select("", "test")).unwrap_err().to_string();
    assert!(error.contains("of which the cache has a part: no split \"test\"") && error.contains("no route"), "{error}");
}
