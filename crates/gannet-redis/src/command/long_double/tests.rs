//! What the real server answered to `INCRBYFLOAT`, line by line: the value, the increment, and the sum or the error.

use super::*;

const RECORDED: &str = include_str!("recorded.txt");

#[test]
fn every_sum_is_the_one_that_redis_gives() {
    for line in RECORDED.lines() {
        let mut words = line.splitn(3, ' ');
        let [old, increment, sum] = [(); 3].map(|()| words.next().expect("three words"));
        let answer = match add_float(old.as_bytes(), increment.as_bytes()) {
            Ok(sum) => sum,
            Err(error) => error.0.into_owned(),
        };
        assert_eq!(answer, sum, "{old} + {increment}");
    }
}

#[test]
fn only_texts_that_c_reads_are_numbers() {
    for text in
        ["", " 1", "1 ", "1e", "1e+", ".", "-", "0x", "0x.", "0x1p", "1_0", "1,5", "nan", "infinit", "1\0", "--1"]
    {
        assert!(!is_float(text.as_bytes()), "{text}");
    }
    for text in ["1.", ".5", "+1", "-0", "007", "1E5", "0x1F", "0X.8P-3", "INF", "-Infinity"] {
        assert!(is_float(text.as_bytes()), "{text}");
    }
}

#[test]
fn a_text_is_a_number_up_to_the_size_that_redis_reads() {
    let ones = "1".repeat(4000);
    assert!(is_float(format!("0.{ones}{}", "1".repeat(5119 - 4002)).as_bytes()));
    assert!(!is_float(format!("0.{ones}{}", "1".repeat(5120 - 4002)).as_bytes()));
}
