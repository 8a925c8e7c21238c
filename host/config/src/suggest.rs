//! Nearest known name, for "did you mean".

/// The known name that `given` is most likely a slip of: at most a third of it wrong, case apart.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The cost is the product of the lengths, and a key may be as long as the file.
    if given.len() > 100 {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let given = plain(given);
    let allowed = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &plain(name)), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "`a`, `b` or `c`".
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// A way out of a name that is not known: the nearest one, else all of them.
pub(crate) fn way_out<'a>(given: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(given, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known here: {}", one_of(known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips() {
        let known = ["prefetch", "queue", "url", "routing_key"];
        let check = |given, expected| assert_eq!(nearest(given, known), expected, "{given}");
        check("prefech", Some("prefetch"));
        check("Queue", Some("queue"));
        check("uri", Some("url"));
        check("routing-key", Some("routing_key"));
        check("exchange", None);
        check(&"x".repeat(101), None);
    }
}
