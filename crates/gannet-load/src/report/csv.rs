//! The report for spreadsheets and plotting tools: a row a second.

use std::fmt::Write;

use crate::results::Results;

/// The seconds of a run as CSV (RFC 4180, but with line feeds), a header first.
///
/// Columns: `at_s` (seconds since the start of the run), `connections` (up at the end of that second), `answered`,
/// `errors`, and `p50_ns`, `p99_ns`, `max_ns` of that second's response times (service times in a closed loop), which
/// are empty where nothing was answered.
pub fn csv(results: &Results) -> String {
    // Writing to a String cannot fail, which is why the outcomes of `writeln!` are let go.
    let mut out = String::from("at_s,connections,answered,errors,p50_ns,p99_ns,max_ns\n");
    for second in &results.seconds {
        let _ =
            write!(out, "{:.3},{},{},{},", second.at.as_secs_f64(), second.connections, second.answered, second.errors);
        if second.answered > 0 {
            let _ = writeln!(out, "{},{},{}", second.p50_ns, second.p99_ns, second.max_ns);
        } else {
            out.push_str(",,\n");
        }
    }
    out
}
