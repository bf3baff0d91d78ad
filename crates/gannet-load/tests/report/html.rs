//! The report as a page.

use std::time::Duration;

use gannet_load::report::html;
use gannet_load::results::Second;

use crate::sample;

/// Panics unless each element that is opened is closed in its turn; gives back the names of all elements.
fn elements(page: &str) -> Vec<String> {
    const NEVER_CLOSED: [&str; 2] = ["meta", "!DOCTYPE"];
    let mut open = Vec::new();
    let mut all = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag is ended");
        assert!(!text.contains('>'), "an unescaped > in {text}");
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in {tag}");
        let name = tag.split_whitespace().next().expect("a tag has a name");
        if let Some(closed) = name.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed));
        } else {
            all.push(name.to_owned());
            if !tag.ends_with('/') && !NEVER_CLOSED.contains(&name) {
                open.push(name.to_owned());
            }
        }
    }
    assert!(open.is_empty(), "{open:?} not closed");
    all
}

#[test]
fn the_page_is_well_formed_with_four_plots_whatever_was_measured() {
    for results in [sample::nothing(), sample::closed(), sample::stalled()] {
        let page = html(&results);
        let elements = elements(&page);
        assert_eq!(elements.iter().filter(|name| *name == "svg").count(), 4);
        assert_eq!(elements.iter().filter(|name| *name == "desc").count(), 4);
        assert!(!page.contains("NaN") && !page.contains("inf,"));
    }
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let page = html(&sample::stalled());
    for loading in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(loading), "{loading}");
    }
}

#[test]
fn text_from_outside_is_escaped() {
    let mut results = sample::stalled();
    let hostile = "<script>alert('x')</script>&\"\u{1b}";
    results.asked.url = hostile.to_owned();
    results.asked.scenario = hostile.to_owned();
    results.asked.driver = hostile.to_owned();
    results.invalid = vec![hostile.to_owned()];
    results.connections.failed = vec![(hostile.to_owned(), 1)];
    results.connections.lost = vec![(hostile.to_owned(), 1)];
    results.requests.errors = vec![(hostile.to_owned(), 1)];
    let page = html(&results);
    assert!(!elements(&page).iter().any(|name| name == "script"));
    let shown = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}";
    assert_eq!(page.matches(shown).count(), 9);
}

#[test]
fn an_invalid_run_has_a_banner_and_a_valid_one_has_none() {
    let mut results = sample::stalled();
    assert!(!html(&results).contains("class=\"banner\""));
    results.invalid = vec!["the schedule was not kept".to_owned()];
    let page = html(&results);
    assert!(page.contains("class=\"banner\""));
    assert!(page.contains("the schedule was not kept"));
}

#[test]
fn seconds_without_an_answer_are_a_gap_in_the_latency() {
    let page = html(&sample::stalled());
    let plot = page.split("id=\"latency-title\"").nth(1).unwrap();
    let plot = plot.split("</svg>").next().unwrap();
    // Each of the lines has a piece before the measured time, and two in it.
    assert_eq!(plot.matches("<polyline").count(), 9);
}

#[test]
fn a_run_of_a_day_makes_a_page_of_moderate_size_that_keeps_the_worst_second() {
    let mut results = sample::closed();
    results.seconds = (1..=86_400)
        .map(|i| Second {
            at: Duration::from_secs(i),
            lasted: Duration::from_secs(1),
            connections: 1_000,
            answered: 10,
            errors: 0,
            classes: [0; 4],
            p50_ns: sample::MS,
            p99_ns: sample::MS,
            max_ns: if i == 40_001 { 5_000 * sample::MS } else { sample::MS },
        })
        .collect();
    let page = html(&results);
    assert!(page.len() < 150_000, "{}", page.len());
    let plot = page.split("id=\"latency-title\"").nth(1).unwrap();
    assert!(plot.split("</svg>").next().unwrap().contains(">10 s</text>"));
}

#[test]
fn the_measured_time_is_shaded_in_every_plot_over_time() {
    let page = html(&sample::stalled());
    // Each has the shade itself and its place in the legend.
    assert_eq!(page.matches("<rect class=\"shade\"").count(), 6);
    let by_percentile = page.split("id=\"by-percentile-title\"").nth(1).unwrap();
    assert!(!by_percentile.split("</svg>").next().unwrap().contains("shade"));
}

#[test]
fn a_piece_of_a_second_is_no_dip_in_the_throughput_and_a_longer_one_is_scaled() {
    let points = |results: &gannet_load::results::Results| {
        let page = html(results);
        let plot = page.split("id=\"throughput-title\"").nth(1).unwrap().split("</svg>").next().unwrap().to_owned();
        let line = plot.split("<polyline class=\"line first\" points=\"").nth(1).unwrap();
        line.split('"').next().unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut results = sample::closed();
    let second = |at_ms, lasted_ms, answered| Second {
        at: Duration::from_millis(at_ms),
        lasted: Duration::from_millis(lasted_ms),
        connections: 1_000,
        answered,
        errors: 0,
        classes: [0; 4],
        p50_ns: sample::MS,
        p99_ns: sample::MS,
        max_ns: sample::MS,
    };
    results.seconds = vec![second(1_000, 1_000, 1_000), second(1_800, 800, 800), second(2_000, 200, 10)];
    let points = points(&results);
    let heights: Vec<_> = points.iter().filter_map(|point| point.split_once(',')).map(|(_, y)| y).collect();
    assert!(heights.len() == 2 && heights[0] == heights[1], "{points:?}");
}
