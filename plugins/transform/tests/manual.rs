//! The tests of jq's manual through the plugin, as jq's own runner reads them: a program, its input,
//! and its results, in groups between empty lines. `jq/man-1.7.test` and `jq/man-1.8.test` are
//! `tests/man.test` of jq 1.7.1 and 1.8.1 (github.com/jqlang/jq), unchanged, under the licence in
//! `jq/COPYING`.

#[cfg(test)]
mod tests {
    use jq::{Val, read};
    use lockgate_plugin::testing::{MessageBuilder, Session};
    use lockgate_plugin::{Change, Delta, Verdict};
    use transform::Transform;

    /// What stays different: how its program begins, and why. README.md has the same table.
    const DIFFERENT: [(&str, &str); 4] = [
        ("$ENV.PAGER", "a plugin has no environment"),
        ("env.PAGER", "a plugin has no environment"),
        (". as $big | [$big, $big + 1] |", "whole numbers are exact"),
        ("map([., . == 1]) | tojson", "a number stays as it is written"),
    ];

    /// The bodies that leave, or what went wrong.
    fn run(program: &str, input: &str) -> Result<Vec<Val>, String> {
        let settings = serde_json::json!({ "jq": program, "on_empty": "drop" }).to_string();
        let mut session =
            Session::<Transform>::open(&settings).map_err(|errors| errors[0].message.clone())?;
        let body = |delta: &Delta| {
            let body = delta.changes().find_map(|change| match change {
                Change::Body(body) => Some(read(body).unwrap()),
                _ => None,
            });
            body.unwrap()
        };
        match session.handle(&MessageBuilder::new().body(input)) {
            Verdict::Drop(_) => Ok(Vec::new()),
            Verdict::Modify(delta) => Ok(vec![body(&delta)]),
            Verdict::Emit(children) => {
                Ok(children.iter().map(|child| body(&child.delta)).collect())
            }
            other => Err(format!("{other:?}")),
        }
    }

    /// How many tests of a file there are, and which fail.
    fn failures(tests: &str) -> (usize, Vec<String>) {
        let (mut count, mut failed) = (0, Vec::new());
        for group in tests.split("\n\n") {
            let lines: Vec<_> =
                group.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
            let [program, input, expected @ ..] = lines.as_slice() else { continue };
            count += 1;
            let expected: Vec<_> =
                expected.iter().map(|text| read(text.as_bytes()).unwrap()).collect();
            let found = run(program, input);
            if found.as_ref() != Ok(&expected) {
                failed.push(format!("{program}\n      of {input}: {found:?}"));
            }
        }
        (count, failed)
    }

    #[test]
    fn the_manuals_tests_agree() {
        for (version, tests) in
            [("1.7.1", include_str!("jq/man-1.7.test")), ("1.8.1", include_str!("jq/man-1.8.test"))]
        {
            let (count, failed) = failures(tests);
            let rate = (count - failed.len()) as f64 / count as f64 * 100.0;
            let passed = count - failed.len();
            println!("jq {version}: {passed} of {count} of the manual's tests agree, {rate:.1} %");
            failed.iter().for_each(|failed| println!("  not: {failed}"));
            assert!(count > 200, "only {count} tests were found");
            assert!(rate >= 98.0, "{rate:.1} %");
            let is_known =
                |failed: &&String| DIFFERENT.iter().any(|(program, _)| failed.starts_with(program));
            let unknown: Vec<_> = failed.iter().filter(|failed| !is_known(failed)).collect();
            assert!(unknown.is_empty(), "{unknown:#?}");
        }
    }
}
