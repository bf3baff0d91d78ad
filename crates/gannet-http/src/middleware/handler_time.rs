//! How long handlers take, of a sample of requests.

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

/// Measures how long what is inside takes, for each route on its own, of one in 16 requests. A clone measures into the
/// same: keep one for [`read`](Self::read), and give another to [`Router::layer`](crate::Router::layer), outside of
/// [`Recover`](super::Recover) if handlers that panic shall count.
///
/// It is what the handler holds its reactor for, without reading the request and sending the response. Requests that
/// no route answers are not timed.
///
/// Two looks at the clock cost about 60 ns, which is why not every request is timed: one in 16 comes to 4 ns a request,
/// one in 8 to 7 ns ([`every`](Self::every) chooses). Which ones does not depend on what they are or in what order they
/// come, so the sample is spread as all of them are. Each reactor counts into memory of its own: 256 bytes for a route.
///
/// Made for one engine: where several share it, some of what they count is lost.
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

/// What [`HandlerTime`] has measured of a route.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteTimes {
    /// The method that the route was added for. `HEAD` that is served by the handler of `GET` counts there.
    pub method: String,
    /// The pattern of the route, as [`Cx::route`] has it.
    pub pattern: String,
    /// How long its handler took, of the requests that were timed.
    pub times: Histogram,
}

impl HandlerTime {
    /// Times one in 16 requests.
    #[must_use]
    pub fn new() -> Self {
        Self { every: SAMPLE, routes: Arc::default(), own: None }
    }

    /// Times one in so many requests; 1 is all of them, and 0 is taken as 1.
    #[must_use]
    pub fn every(self, requests: u32) -> Self {
        Self { every: u64::from(requests.max(1)), ..self }
    }

    /// One in how many requests is timed.
    #[must_use]
    pub fn sample(&self) -> u64 {
        self.every
    }

    /// What was measured until now, by route, in the order they were added. On any thread.
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
