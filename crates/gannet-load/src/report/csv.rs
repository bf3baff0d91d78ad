//! The report for spreadsheets and plotting tools: a row a second.

use std::fmt::Write;

use crate::results::Results;

/// Returns the seconds of a run as CSV (RFC 4180, but with line feeds), a header first.
///
/// Columns: `at_s` (its end, in seconds since the start of the run), `connections` (up at that end), `answered`,
/// `errors`, `p50_ns`, `p99_ns`, `max_ns` of that second's response times (service times in a closed loop), which are
/// empty where nothing was answered, `lasted_s`, which is less where the measured time began or ended in it, and
/// `2xx` to `5xx`, answers by the class of their status, 0 in scenarios that know no such.
pub fn csv(results: &Results) -> String {
    // Writing to a String cannot fail, which is why the outcomes of `writeln!` are let go.
    let mut out = String::from("at_s,connections,answered,errors,p50_ns,p99_ns,max_ns,lasted_s,2xx,3xx,4xx,5xx\n");
    for second in &results.seconds {
        let _ =
            write!(out, "{:.3},{},{},{},", second.at.as_secs_f64(), second.connections, second.answered, second.errors);
        if second.answered > 0 {
            let _ = write!(out, "{},{},{}", second.p50_ns, second.p99_ns, second.max_ns);
        } else {
            out.push_str(",,");
        }
        let [success, redirection, client, server] = second.classes;
        let _ = writeln!(out, ",{:.3},{success},{redirection},{client},{server}", second.lasted.as_secs_f64());
    }
    out
}
