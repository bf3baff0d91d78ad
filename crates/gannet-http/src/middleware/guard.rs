//! Asks a function whether to accept a request.

use crate::cx::Cx;
use crate::layer::Layer;
use crate::respond::respond;
use crate::response::Respond;

/// Calls a function before the handler; if it fails, the error is the response. It is the shortest way to authenticate.
///
/// The function may [insert](Cx::insert) values for the handler. If the body comes after the head, the function is called
/// twice: with the head, so that a refused client need not send its body, and again when the body is there.
///
/// ```
/// use gannet_http::middleware::Guard;
/// use gannet_http::{Cx, Rejection, Router};
///
/// struct User(String);
///
/// fn authenticate(cx: &mut Cx<'_>) -> Result<(), (u16, &'static str)> {
///     let token = cx.request_header("authorization").ok_or((401, "who are you?\n"))?;
///     let user = User(String::from_utf8_lossy(token).into_owned());
///     cx.insert(user);
///     Ok(())
/// }
///
/// fn hello(cx: &mut Cx<'_>) -> Result<String, Rejection> {
///     let User(name) = cx.extension()?;
///     Ok(format!("hello {name}\n"))
/// }
///
/// let routes = Router::new().layer(Guard(authenticate)).get("/", hello).build()?;
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Guard<F>(
    /// The function.
    pub F,
);

impl<F, E> Layer for Guard<F>
where
    F: Fn(&mut Cx<'_>) -> Result<(), E> + Clone + Send + Sync + 'static,
    E: Respond,
{
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        if self.admit(cx) {
            next(cx);
        }
    }

    #[inline]
    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        let passes = (self.0)(cx);
        let admitted = passes.is_ok();
        if !admitted {
            respond(passes, cx);
        }
        admitted
    }
}
