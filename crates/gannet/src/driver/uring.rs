//! temporary
pub(crate) fn probe() -> Result<String, String> {
    Err("not there".into())
}
pub(crate) use super::poll::PollDriver as UringDriver;
