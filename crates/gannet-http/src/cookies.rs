//! Cookies of requests and responses (RFC 6265).

use cookie::Cookie;

use crate::cx::Cx;
use crate::response::Reply;

/// Cookies. Need the feature `cookies`.
impl<'a> Cx<'a> {
    /// All cookies of the request, as they were sent. What is no cookie is left out. A client may send several of one name,
    /// in an order that says nothing (RFC 6265 §5.4).
    pub fn cookies(&self) -> impl Iterator<Item = Cookie<'a>> + use<'a> {
        let fields = self.request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let texts = fields.filter_map(|(_, value)| std::str::from_utf8(value).ok());
        texts.flat_map(Cookie::split_parse).filter_map(Result::ok)
    }

    /// The first cookie of this name. Its value is as it was sent.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<Cookie<'a>> {
        self.cookies().find(|cookie| cookie.name() == name)
    }
}

/// The same for what is set.
macro_rules! cookie_methods {
    ($($type:ident)*) => {$(
        /// Cookies. Need the feature `cookies`.
        impl $type<'_> {
            /// Has the client keep a cookie. Set `HttpOnly`, `Secure` and `SameSite` for what proves who a client is. One that
            /// cannot be sent, because it has control characters, makes the response a 500.
            ///
            /// ```
            /// use gannet_http::{Cookie, Router, SameSite};
            ///
            /// let routes = Router::new().post("/dark", |cx| {
            ///     cx.set_cookie(Cookie::build(("theme", "dark")).path("/").same_site(SameSite::Lax));
            ///     204
            /// });
            /// ```
            pub fn set_cookie<'c>(&mut self, cookie: impl Into<Cookie<'c>>) {
                let text = cookie.into().to_string();
                if let Err(error) = self.add_header("Set-Cookie", text) {
                    self.draft.fault = Some(error);
                }
            }

            /// Has the client forget a cookie. It has to have the path and the domain that it was set with.
            pub fn remove_cookie<'c>(&mut self, cookie: impl Into<Cookie<'c>>) {
                let mut cookie = cookie.into();
                cookie.make_removal();
                self.set_cookie(cookie);
            }
        }
    )*};
}

cookie_methods!(Cx Reply);
