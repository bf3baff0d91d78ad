//! Measures how long handlers take, for a sample of requests.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gannet::{Histogram, HistogramCounter};

use crate::clock::Stopwatch;
use crate::cx::Cx;
use crate::layer::Layer;

/// One of so many requests is timed where nothing else was said.
const SAMPLE: u64 = 16;

/// The golden ratio as a fraction of 2^64: multiples of it are spread evenly, whatever steps they are taken in.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Measures how long handlers take, for each route, in one of 16 requests.
///
/// A clone adds to the same figures: keep one for [`read`](Self::read), and give another one to
/// [`Router::layer`](crate::Router::layer). Put it outside of [`Recover`](super::Recover) if handlers that panic should count.
///
/// The time is what the handler holds its reactor for, without reading the request and sending the response. Requests
/// without a route are not timed.
///
/// Reading the clock twice takes about 60 ns, so only a sample is timed: one in 16 adds 4 ns to a request on average, one in
/// 8 adds 7 ns ([`every`](Self::every) chooses). The sample does not depend on what requests are or in which order they
/// come. Each reactor counts in memory of its own: 256 bytes for a route.
///
/// Use one `HandlerTime` for one engine: if several engines share it, some counts are lost.
///
/// ```
/// use gannet_http::Router;
/// use gannet_http::middleware::HandlerTime;
///
/// let times = HandlerTime::new();
/// let routes = Router::new().layer(times.clone()).get("/", |cx| cx.text("it flies\n")).build()?;
/// for route in times.read() {
///     println!("{} {}: {} timed, {:?} together", route.method, route.pattern, route.times.count(), route.times.sum());
/// }
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
#[derive(Clone)]
pub struct HandlerTime {
    every: u64,
    routes: Arc<Mutex<Vec<Arc<Timed>>>>,
    /// The route that this clone is around.
    own: Option<Arc<Timed>>,
}

/// A route that is timed.
struct Timed {
    method: String,
    pattern: String,
    /// By reactor; made when the first request is timed, because only then it is known how many there are.
    reactors: OnceLock<Box<[Lane]>>,
}

/// What one reactor counts, away from what others write to: two lines of the cache, which are fetched in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Lane(HistogramCounter);

/// Holds what [`HandlerTime`] has measured of a route.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteTimes {
    /// The method of the route. A `HEAD` that the handler of `GET` answers counts as `GET`.
    pub method: String,
    /// The pattern of the route, as in [`Cx::route`].
    pub pattern: String,
    /// How long the handler took in the timed requests.
    pub times: Histogram,
}

impl HandlerTime {
    /// Makes the layer; it times one in 16 requests.
    #[must_use]
    pub fn new() -> Self {
        Self { every: SAMPLE, routes: Arc::default(), own: None }
    }

    /// Sets the sample: one in this many requests is timed. 1 times all of them; 0 counts as 1.
    #[must_use]
    pub fn every(self, requests: u32) -> Self {
        Self { every: u64::from(requests.max(1)), ..self }
    }

    /// Returns the sample: one in this many requests is timed.
    #[must_use]
    pub fn sample(&self) -> u64 {
        self.every
    }

    /// Returns the figures of each route, in the order in which they were added. Call it on any thread.
    #[must_use]
    pub fn read(&self) -> Vec<RouteTimes> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.iter().map(|route| route.read()).collect()
    }

    #[inline]
    fn is_timed(&self, serial: u64) -> bool {
        serial.wrapping_mul(GOLDEN) <= u64::MAX / self.every
    }
}

impl Default for HandlerTime {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for HandlerTime {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        match &self.own {
            Some(route) if self.is_timed(cx.serial) => {
                let watch = Stopwatch::start();
                next(cx);
                route.record(cx, &watch);
            }
            _ => next(cx),
        }
    }

    fn around(&self, method: &str, pattern: &str) -> Self {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = routes.iter().find(|route| route.method == method && route.pattern == pattern);
        let own = known.cloned().unwrap_or_else(|| {
            let (method, pattern) = (method.to_owned(), pattern.to_owned());
            let route = Arc::new(Timed { method, pattern, reactors: OnceLock::new() });
            routes.push(route.clone());
            route
        });
        Self { every: self.every, routes: self.routes.clone(), own: Some(own) }
    }
}

impl Timed {
    fn record(&self, cx: &Cx<'_>, watch: &Stopwatch) {
        let lanes = self.reactors.get_or_init(|| (0..cx.remote().reactors()).map(|_| Lane::default()).collect());
        if let Some(lane) = lanes.get(cx.reactor()) {
            lane.0.record(watch.elapsed());
        }
    }

    fn read(&self) -> RouteTimes {
        let mut times = Histogram::default();
        self.reactors.get().into_iter().flatten().for_each(|lane| times.merge(&lane.0.read()));
        RouteTimes { method: self.method.clone(), pattern: self.pattern.clone(), times }
    }
}

impl fmt::Debug for HandlerTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerTime").field("every", &self.every).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_one_in_so_many_whatever_steps_requests_come_in() {
        for every in [1, 8, 16, 100] {
            let times = HandlerTime::new().every(every);
            for step in [1, 2, 3, 8, 16, 1_000] {
                let requests = 100_000;
                let timed = (0..requests).filter(|serial| times.is_timed(serial * step)).count() as u64;
                let expected = requests / u64::from(every);
                assert!(timed.abs_diff(expected) <= expected / 50 + 2, "1 in {every}, steps of {step}: {timed}");
            }
        }
    }
}
