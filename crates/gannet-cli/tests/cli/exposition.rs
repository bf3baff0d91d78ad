//! Prometheus's text format 0.0.4, read as strictly as its own tools do: what they would complain of fails a test.

use std::collections::{HashMap, HashSet};

/// A sample with its labels, `le` and all.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// All labels but `le`, as a text that tells series apart.
    fn series(&self) -> String {
        let mut labels: Vec<_> = self.labels.iter().filter(|(name, _)| name != "le").collect();
        labels.sort();
        format!("{labels:?}")
    }
}

/// A family: what one HELP and one TYPE are said for.
struct Family {
    name: String,
    kind: String,
    samples: Vec<Sample>,
}

/// Reads all of it, or fails; gives the samples.
#[track_caller]
pub(crate) fn check(text: &str) -> Vec<Sample> {
    let families = read(text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    let mut series = HashSet::new();
    for family in &families {
        if let Err(why) = check_family(family) {
            panic!("{}: {why}\n{text}", family.name);
        }
        for sample in &family.samples {
            let id = format!("{}{}{:?}", sample.name, sample.series(), sample.label("le"));
            assert!(series.insert(id), "{sample:?} comes twice\n{text}");
        }
    }
    families.into_iter().flat_map(|family| family.samples).collect()
}

fn read(text: &str) -> Result<Vec<Family>, String> {
    let text = text.strip_suffix('\n').ok_or("the last line has no end")?;
    let (mut families, mut helped, mut names): (Vec<Family>, Option<&str>, HashSet<&str>) = Default::default();
    for line in text.split('\n') {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').ok_or_else(|| format!("a HELP without a text: {line}"))?;
            if !is_metric_name(name) || !names.insert(name) {
                return Err(format!("{name} is no name, or has HELP twice"));
            }
            unescaped(text, false).ok_or_else(|| format!("wrong escapes: {line}"))?;
            helped = Some(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').ok_or_else(|| format!("no type: {line}"))?;
            if helped.take() != Some(name) || !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(format!("a TYPE that does not follow its HELP, or is none: {line}"));
            }
            families.push(Family { name: name.to_owned(), kind: kind.to_owned(), samples: Vec::new() });
        } else {
            let family = families.last_mut().filter(|_| helped.is_none()).ok_or("a sample without TYPE")?;
            family.samples.push(sample(line).ok_or_else(|| format!("no sample: {line:?}"))?);
        }
    }
    Ok(families)
}

fn check_family(family: &Family) -> Result<(), String> {
    let Family { name, kind, samples } = family;
    if kind == "counter" && !name.ends_with("_total") {
        return Err("a counter's name ends in _total".to_owned());
    }
    if kind != "counter" && ["_total", "_count", "_sum", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
        return Err(format!("no name for a {kind}"));
    }
    if kind == "histogram" {
        return check_histogram(name, samples);
    }
    match samples.iter().find(|sample| &sample.name != name || sample.value < 0.0 || sample.label("le").is_some()) {
        Some(sample) => Err(format!("{sample:?} does not belong here")),
        None => Ok(()),
    }
}

fn check_histogram(name: &str, samples: &[Sample]) -> Result<(), String> {
    #[derive(Default)]
    struct Series {
        buckets: Vec<(f64, f64)>,
        sum: Option<f64>,
        count: Option<f64>,
    }
    let mut all: HashMap<String, Series> = HashMap::new();
    for sample in samples {
        let series = all.entry(sample.series()).or_default();
        match (sample.name.strip_prefix(name), sample.label("le")) {
            (Some("_bucket"), Some(bound)) => {
                series.buckets.push((number(bound).ok_or("le is no number")?, sample.value));
            }
            (Some("_sum"), None) if series.sum.is_none() => series.sum = Some(sample.value),
            (Some("_count"), None) if series.count.is_none() => series.count = Some(sample.value),
            _ => return Err(format!("{sample:?} does not belong here")),
        }
    }
    for (labels, Series { buckets, sum, count }) in all {
        let (sum, count) = sum.zip(count).ok_or_else(|| format!("no sum or no count: {labels}"))?;
        let rising = buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1);
        if !rising || buckets.last() != Some(&(f64::INFINITY, count)) {
            return Err(format!("buckets do not rise up to the count {count}: {labels}: {buckets:?}"));
        }
        // What lies in a bucket is at least as long as the bound before it.
        let bounds = std::iter::once(&(0.0, 0.0)).chain(&buckets).zip(&buckets);
        let least: f64 = bounds.map(|((low, before), (_, upto))| low * (upto - before)).sum();
        if sum < least * (1.0 - 1e-9) || (count == 0.0 && sum != 0.0) {
            return Err(format!("a sum of {sum} for buckets that come to {least} at least: {labels}"));
        }
    }
    Ok(())
}

fn sample(line: &str) -> Option<Sample> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = number(value.strip_prefix(' ')?)?;
    is_metric_name(name).then(|| Sample { name: name.to_owned(), labels, value })
}

/// The labels, and what follows the brace that ends them.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels: Vec<(String, String)> = Vec::new();
    loop {
        let (name, value) = rest.split_once("=\"")?;
        let mut escaped = false;
        let end = value.find(|character| match (escaped, character) {
            (false, '"') => true,
            (before, _) => {
                escaped = !before && character == '\\';
                false
            }
        })?;
        if !is_label_name(name) || labels.iter().any(|(own, _)| own == name) {
            return None;
        }
        labels.push((name.to_owned(), unescaped(&value[..end], true)?));
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Some((labels, rest.strip_prefix('}')?)),
        }
    }
}

fn unescaped(text: &str, quotes: bool) -> Option<String> {
    let (mut plain, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next()? {
                'n' => '\n',
                '\\' => '\\',
                '"' if quotes => '"',
                _ => return None,
            },
            '"' if quotes => return None,
            other => other,
        });
    }
    Some(plain)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        _ if text.contains(|character: char| !(character.is_ascii_digit() || ".e-".contains(character))) => None,
        _ => text.parse().ok(),
    }
}

fn is_metric_name(name: &str) -> bool {
    is_name(name, |character| character == ':')
}

fn is_label_name(name: &str) -> bool {
    is_name(name, |_| false) && !name.starts_with("__")
}

fn is_name(name: &str, also: impl Fn(char) -> bool) -> bool {
    let known = |character: char| character.is_ascii_alphanumeric() || character == '_' || also(character);
    name.chars().all(known) && name.starts_with(|character: char| !character.is_ascii_digit())
}

#[test]
fn what_prometheus_would_not_take_is_found() {
    let histogram = |lines: &str| format!("# HELP h A text.\n# TYPE h histogram\n{lines}");
    let good = [
        "# HELP a_total A \\\\ text.\n# TYPE a_total counter\na_total{l=\"a\\\"\\n}\"} 1\na_total 2\n".to_owned(),
        histogram("h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1.5\nh_count 2\n"),
    ];
    for text in good {
        assert!(!check(&text).is_empty(), "{text}");
    }
    let bad = [
        "a 1\n".to_owned(),
        "# HELP a A text.\n# TYPE a gauge\na 1".to_owned(),
        "# HELP a A text.\n# TYPE a counter\na 1\n".to_owned(),
        "# HELP a A text.\n# TYPE a gauge\nb 1\n".to_owned(),
        "# HELP a A text.\n# TYPE a gauge\na 1\na 1\n".to_owned(),
        "# HELP a A text.\n# TYPE a gauge\n# HELP a A text.\n# TYPE a gauge\na 1\n".to_owned(),
        "# HELP a A text.\n# TYPE a gauge\na{l=\"\\t\"} 1\n".to_owned(),
        "# HELP a A text.\n# TYPE a gauge\na{1=\"\"} 1\n".to_owned(),
        "# HELP a A text.\n# TYPE a gauge\na{l=\"} 1\n".to_owned(),
        "# HELP a A text.\n# TYPE a gauge\na one\n".to_owned(),
        "# TYPE a gauge\na 1\n".to_owned(),
        histogram("h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1.5\nh_count 3\n"),
        histogram("h_bucket{le=\"0.5\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum 1.5\nh_count 2\n"),
        histogram("h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"0.2\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1.5\nh_count 2\n"),
        histogram("h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 0.1\nh_count 2\n"),
        histogram("h_bucket{le=\"0.5\"} 1\nh_sum 1.5\nh_count 1\n"),
        histogram("h_bucket{le=\"+Inf\"} 2\nh_count 2\n"),
    ];
    for text in bad {
        assert!(std::panic::catch_unwind(|| check(&text)).is_err(), "{text}");
    }
}
