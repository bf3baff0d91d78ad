//! Cookies of requests and responses (RFC 6265).

use cookie::Cookie;

use crate::cx::Cx;
use crate::response::Reply;

/// Cookies. Need the feature `cookies`.
impl<'a> Cx<'a> {
    /// Iterates over the cookies of the request, as they were sent. Malformed ones are left out.
    ///
    /// A client may send several cookies of one name; their order has no meaning (RFC 6265 §5.4).
    pub fn cookies(&self) -> impl Iterator<Item = Cookie<'a>> + use<'a> {
        let fields = self.request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let texts = fields.filter_map(|(_, value)| std::str::from_utf8(value).ok());
        texts.flat_map(Cookie::split_parse).filter_map(Result::ok)
    }

    /// Returns the first cookie of this name, with its value as it was sent.
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
            /// Sets a cookie. Give it `HttpOnly`, `Secure` and `SameSite` if it proves who a client is.
            ///
            /// If it has control characters, it cannot be sent, and the response becomes a 500.
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

            /// Removes a cookie from the client. Give it the path and the domain that it was set with.
            pub fn remove_cookie<'c>(&mut self, cookie: impl Into<Cookie<'c>>) {
                let mut cookie = cookie.into();
                cookie.make_removal();
                self.set_cookie(cookie);
            }
        }
    )*};
}

cookie_methods!(Cx Reply);
