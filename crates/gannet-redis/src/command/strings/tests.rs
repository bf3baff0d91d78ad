use crate::command::trial::Trial;

#[test]
fn what_was_set_is_what_one_gets() {
    Trial::default().expect(&[
        ("get name", "$-1\r\n"),
        ("set name \"a value\"", "+OK\r\n"),
        ("get name", "$7\r\na value\r\n"),
        ("set name 12", "+OK\r\n"),
        ("GET name", "$2\r\n12\r\n"),
        ("get", "-ERR wrong number of arguments for 'get' command\r\n"),
    ]);
}
