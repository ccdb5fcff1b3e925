//! Folders of shards: the same numbers whoever writes them, and none lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use attention_probes_activations::{ShardFolder, StoreDtype};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::call;
use crate::extract::fixture::{Folder, PADDED_MASK, TEXTS, read_safetensors, write_padded_ids};
use crate::running::{self, Running};

/// What a folder says of a row: token ids, label, and the bits of every hook's values.
#[derive(Debug, PartialEq)]
struct Row {
    ids: Vec<i64>,
    label: Option<String>,
    hooks: Vec<Vec<u32>>,
}

fn read(folder: &Path) -> BTreeMap<usize, Row> {
    let folder = ShardFolder::open(folder).unwrap();
    let manifest = folder.manifest();
    let mut rows = BTreeMap::new();
    for index in 0..folder.parts().len() {
        let part = folder.part(index).unwrap();
        for (row, source_row) in part.rows().enumerate() {
            let bits = |hook| part.activations(hook, row).into_iter().map(f32::to_bits).collect();
            let row = Row {
                ids: part.input_ids(row),
                label: part.label(row).map(|label| manifest.data.classes[label].clone()),
                hooks: (0..manifest.hooks.len()).map(bits).collect(),
            };
            assert!(rows.insert(source_row, row).is_none());
        }
    }
    assert_eq!(rows.len(), manifest.data.n_rows);
    rows
}

/// Every file of a folder by name, but for locks.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_none_or(|ending| ending != "lock"));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

/// Passages of up to 256 tokens with a label each, which some rows lack.
fn write_passages(folder: &Folder, n: usize) {
    let passages = include_str!("../../../../../activations/demo/passages.jsonl").lines().take(n);
    let rows = passages.enumerate().map(|(index, line)| {
        let mut object: Value = serde_json::from_str(line).unwrap();
        let words = object["text"].as_str().unwrap().split(' ');
        // Texts of all lengths.
        let text: Vec<&str> = words.take(1 + index * 7 % 190).collect();
        object["text"] = text.join(" ").into();
        object["label"] = if index % 5 == 0 { Value::Null } else { json!(index % 3) };
        format!("{object}\n")
    });
    fs::write(folder.path("passages.jsonl"), rows.collect::<String>()).unwrap();
}

#[test]
fn jobs_that_share_the_rows_write_what_one_job_writes_to_the_bit() {
    let folder = Folder::new();
    write_passages(&folder, 40);
    for model in ["demo-gpt2", "demo-gemma"] {
        let flags = [("--model", model), ("--data", "passages.jsonl")];
        let run = |more: &[(&str, &str)]| folder.command(&[&flags, more].concat());
        let one = format!("one-{model}");
        call::succeed(&mut run(&[("--output", &one)]));
        // All at once, in files and batches of other sizes.
        let many = format!("many-{model}");
        let settings = [("1/4", "1"), ("2/4", "500"), ("3/4", "4096"), ("4/4", "100000")];
        let jobs = settings.map(|(shard, batch_tokens)| {
            let job = [
                ("--output", many.as_str()),
                ("--shard", shard),
                ("--shard-rows", "7"),
                ("--batch-tokens", batch_tokens),
            ];
            Running::start(run(&job))
        });
        for mut job in jobs {
            assert!(job.0.wait().unwrap().success());
        }
        let expected = read(&folder.path(&one));
        assert_eq!(read(&folder.path(&many)), expected);
        assert!(expected.values().any(|row| row.label.is_none()));
        assert_eq!(expected[&4].label.as_deref(), Some("1"));
        let manifest = ShardFolder::open(folder.path(&many)).unwrap().manifest().clone();
        assert_eq!(
            (manifest.n_shards, manifest.data.classes),
            (4, vec!["0".into(), "1".into(), "2".into()])
        );
    }
}

#[test]
fn a_folder_holds_the_numbers_of_the_file_without_its_padding() {
    let folder = Folder::new();
    folder.succeed(&[]);
    folder.succeed(&[("--output", "out"), ("--shard-rows", "2")]);
    let file = read_safetensors(&folder.path("o.safetensors"));
    let manifest = ShardFolder::open(folder.path("out")).unwrap().manifest().clone();
    let rows = read(&folder.path("out"));
    assert_eq!(rows.len(), TEXTS.len());
    assert!(rows[&2].ids.is_empty() && rows[&2].hooks.iter().all(Vec::is_empty));
    for (hook, of_hook) in manifest.hooks.iter().enumerate() {
        let (shape, values) = &file[&of_hook.name];
        for (row, found) in &rows {
            let n = found.ids.len();
            let padded = &values[row * values.len() / 5..(row + 1) * values.len() / 5];
            let expected: Vec<u32> = if of_hook.name.contains("hook_z") || shape.len() == 3 {
                padded[..n * padded.len() / shape[1]].iter().map(|x| x.to_bits()).collect()
            } else {
                let pos = shape[3];
                let queries = padded.chunks(pos).enumerate().filter(|(i, _)| i % pos < n);
                queries.flat_map(|(_, keys)| &keys[..n]).map(|x| x.to_bits()).collect()
            };
            assert_eq!(found.hooks[hook], expected, "{} of row {row}", of_hook.name);
        }
    }
}

#[test]
fn bf16_rounds_what_f32_keeps() {
    let folder = Folder::new();
    let hooks = ("--hooks", "blocks.1.hook_resid_post,blocks.2.attn.hook_attn_scores");
    let bf16 = ("--store-dtype", "bf16");
    folder.succeed(&[hooks, ("--output", "wide")]);
    folder.succeed(&[hooks, ("--output", "narrow"), bf16]);
    let dtype = ShardFolder::open(folder.path("narrow")).unwrap().manifest().dtype;
    assert_eq!(dtype, StoreDtype::Bf16);
    let (wide, narrow) = (read(&folder.path("wide")), read(&folder.path("narrow")));
    for (wide, narrow) in wide.values().zip(narrow.values()) {
        for (wide, narrow) in wide.hooks.iter().flatten().zip(narrow.hooks.iter().flatten()) {
            let (wide, narrow) = (f32::from_bits(*wide), f32::from_bits(*narrow));
            assert_eq!(narrow.to_bits() & 0xffff, 0);
            assert!(
                wide.to_bits() == narrow.to_bits() || (wide - narrow).abs() <= wide.abs() / 256.0
            );
        }
    }
    folder.succeed(&[hooks, bf16]);
    let bytes = fs::read(folder.path("o.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("blocks.1.hook_resid_post").unwrap();
    assert_eq!((tensor.dtype(), &tensor.shape()[..1]), (Dtype::BF16, &[5][..]));
    let stderr = folder.refused(&[hooks, bf16, ("--output", "o.npz")]);
    assert!(stderr.contains("`--store-dtype bf16` cannot be kept in `o.npz`"), "{stderr}");
}

#[test]
fn token_ids_lose_their_padding_on_any_side() {
    let folder = Folder::new();
    write_padded_ids(&folder);
    let flags = [("--input-ids", "ids.safetensors"), ("--hooks", "blocks.1.hook_resid_post")];
    folder.succeed(&[flags[0], flags[1], ("--output", "out"), ("--shard-rows", "3")]);
    folder.succeed(&flags);
    let (_, values) = &read_safetensors(&folder.path("o.safetensors"))["blocks.1.hook_resid_post"];
    let rows = read(&folder.path("out"));
    let found: Vec<&[i64]> = rows.values().map(|row| &row.ids[..]).collect();
    assert_eq!(found, [&[5, 6, 7, 8][..], &[9, 10], &[11, 12], &[]]);
    let real = values.chunks(160).zip(PADDED_MASK).filter(|(_, real)| *real == 1);
    let expected: Vec<u32> = real.flat_map(|(values, _)| values).map(|x| x.to_bits()).collect();
    let found: Vec<u32> = rows.values().flat_map(|row| &row.hooks[0]).copied().collect();
    assert_eq!(found, expected);
}

#[test]
fn a_job_that_is_killed_again_and_again_ends_in_the_same_bytes() {
    let folder = Folder::new();
    write_passages(&folder, 40);
    let flags =
        |output| [("--data", "passages.jsonl"), ("--output", output), ("--shard-rows", "2")];
    folder.succeed(&flags("whole"));
    let n_parts = |output: &str| {
        let Ok(entries) = fs::read_dir(folder.path(output)) else { return 0 };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("shard") && name.ends_with(".safetensors")).count()
    };
    let mut n_killed = 0;
    for round in 0..12 {
        let before = n_parts("killed");
        let mut run = Running::start(folder.command(&flags("killed")));
        while n_parts("killed") <= before + round % 3 && run.is_going_on() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(3 * round as u64 % 17));
        if !run.is_going_on() {
            break;
        }
        drop(run); // kills it
        n_killed += 1;
    }
    assert!(n_killed >= 3, "only {n_killed} kills came in time");
    folder.succeed(&flags("killed"));
    assert!(files(&folder.path("killed")) == files(&folder.path("whole")));
}

#[test]
fn a_finished_shard_is_found_and_a_damaged_file_is_named_and_written_again() {
    let folder = Folder::new();
    let flags = [("--output", "out"), ("--shard-rows", "2"), ("--json", "")];
    let run = || {
        let (stdout, stderr) = call::succeed(&mut folder.command(&flags));
        let report: Value = serde_json::from_str(&stdout).unwrap();
        (json!([report["n_written"], report["n_found"]]), stderr)
    };
    assert_eq!(run().0, json!([3, 0]));
    let whole = files(&folder.path("out"));
    let times = || {
        let written =
            |name: &String| fs::metadata(folder.path("out").join(name)).unwrap().modified();
        whole.keys().map(|name| written(name).unwrap()).collect::<Vec<_>>()
    };
    let before = times();
    assert_eq!(run().0, json!([0, 3]));
    assert_eq!(times(), before);

    let part = folder.path("out/shard-00001-of-00001-00001.safetensors");
    let bytes = fs::read(&part).unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &bytes[..bytes.len() - 1], &[]] {
        fs::write(&part, damaged).unwrap();
        let (counts, stderr) = run();
        assert_eq!(counts, json!([1, 2]));
        assert!(stderr.contains("shard-00001-of-00001-00001.safetensors"), "{stderr}");
        assert!(files(&folder.path("out")) == whole);
    }
    fs::write(folder.path("out/shard-00001-of-00001.json"), "{").unwrap();
    fs::remove_file(&part).unwrap();
    assert_eq!(run().0, json!([3, 0]));
    assert!(files(&folder.path("out")) == whole);
}

#[test]
fn other_activations_are_refused_and_nothing_is_touched() {
    let folder = Folder::new();
    fs::write(folder.path("other.csv"), "text\nanother text\n").unwrap();
    let hook = ("--hooks", "hook_embed");
    let flags = [hook, ("--output", "out"), ("--shard", "1/2")];
    folder.succeed(&flags);
    let before = files(&folder.path("out"));
    for (change, expected) in [
        (("--model", "demo-gemma"), "of another model: `"),
        (("--data", "other.csv"), "of another data file: `"),
        (
            ("--hooks", "hook_embed,blocks.0.hook_resid_pre"),
            "of another list of hooks: `hook_embed`, not",
        ),
        (("--convention", "tl_processed"), "of another convention: `Raw`, not `TlProcessed`"),
        (("--store-dtype", "bf16"), "of another type in files: `f32`, not `bf16`"),
        (("--max-tokens", "3"), "of another longest text in tokens: `256`, not `3`"),
        (("--shard", "1/3"), "of another number of shards: `2`, not `3`"),
        (("--shard-rows", "9"), "of another number of rows per file: `1024`, not `9`"),
    ] {
        let mut flags: BTreeMap<&str, &str> = flags.into();
        flags.extend([change]);
        let stderr = folder.refused(&flags.into_iter().collect::<Vec<_>>());
        assert!(stderr.contains(expected) && stderr.contains("`out` holds"), "{stderr}");
        assert!(stderr.contains("name another folder"), "{stderr}");
        assert_eq!(files(&folder.path("out")), before);
    }
    // A shard without its fellows is not read.
    let error = ShardFolder::open(folder.path("out")).unwrap_err().to_string();
    assert!(error.ends_with("lacks rows of shard 2/2; extract that shard first"), "{error}");

    fs::create_dir(folder.path("mine")).unwrap();
    fs::write(folder.path("mine/thesis.tex"), "").unwrap();
    let stderr = folder.refused(&[hook, ("--output", "mine")]);
    assert!(stderr.contains("`mine` has other files than activations"), "{stderr}");
    assert_eq!(files(&folder.path("mine")).len(), 1);
    fs::write(folder.path("mine/manifest.json"), "{}").unwrap();
    let stderr = folder.refused(&[hook, ("--output", "mine")]);
    assert!(stderr.contains("`mine/manifest.json` is damaged, or of another version"), "{stderr}");

    for (flag, expected) in [
        (("--shard", "0/2"), "shard `0/2` is not one of"),
        (("--shard", "two"), "shard `two` is not one of"),
        (("--shard-rows", "0"), "--shard-rows"),
        (("--label", "y"), "has no column `y`"),
    ] {
        let stderr = folder.refused(&[hook, flag, ("--output", "new")]);
        assert!(stderr.contains(expected), "{stderr}");
    }
    for flag in [("--shard", "1/2"), ("--shard-rows", "5")] {
        let stderr = folder.refused(&[hook, flag]);
        assert!(stderr.contains("needs a folder as `--output`"), "{stderr}");
    }
    assert!(!folder.path("new").exists());
}

#[test]
fn a_dry_run_says_which_rows_and_makes_no_folder() {
    let folder = Folder::new();
    let stdout = folder.succeed(&[("--output", "out"), ("--shard", "2/2"), ("--dry-run", "")]);
    assert!(stdout.starts_with("would write out, shard 2/2: rows 2 to 5\n"), "{stdout}");
    assert!(!folder.path("out").exists());
}

#[test]
fn more_shards_than_rows_leave_some_empty() {
    let folder = Folder::new();
    for shard in 1..=7 {
        let shard = format!("{shard}/7");
        folder.succeed(&[("--hooks", "hook_embed"), ("--output", "out"), ("--shard", &shard)]);
    }
    folder.succeed(&[("--hooks", "hook_embed"), ("--output", "one")]);
    assert_eq!(read(&folder.path("out")), read(&folder.path("one")));
}

/// Most memory that a run took, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory(folder: &Folder, flags: &[(&str, &str)]) -> u64 {
    running::peak_memory(folder.command(flags), "VmHWM:")
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_rows() {
    let folder = Folder::new();
    let reviews = include_str!("../../../../../activations/demo/sentiment.csv");
    let (header, rows) = reviews.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().take(200).collect();
    let mut peaks = Vec::new();
    for (name, times) in [("few.csv", 1), ("many.csv", 5)] {
        let rows = format!("{}\n", rows.join("\n")).repeat(times);
        fs::write(folder.path(name), format!("{header}\n{rows}")).unwrap();
        for output in ["folder", "file.safetensors", "file.npz"] {
            let output = format!("{times}-{output}");
            let mut flags = vec![
                ("--data", name),
                ("--hooks", "hook_embed,hook_pos_embed,blocks.0.hook_resid_pre"),
                ("--output", &output),
            ];
            if output.ends_with("folder") {
                flags.push(("--shard-rows", "100"));
            }
            peaks.push((peak_memory(&folder, &flags), output));
        }
    }
    let size = fs::metadata(folder.path("5-file.npz")).unwrap().len();
    let (few, many) = peaks.split_at(3);
    for ((few, _), (many, output)) in few.iter().zip(many) {
        let grown = many.saturating_sub(*few);
        assert!(grown < size / 4, "{output}: {grown} bytes more, of a file of {size}");
    }
}
