//! Values that layers pass on to handlers, one of each type.

use std::any::{Any, TypeId};

/// The values of one request. They are few, so they are searched in order.
pub(crate) struct Extensions(Vec<(TypeId, Box<dyn Any>)>);

impl Extensions {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts a value in place of the one of its type.
    pub(crate) fn insert<T: 'static>(&mut self, value: T) {
        let (own, value) = (TypeId::of::<T>(), Box::new(value));
        match self.0.iter_mut().find(|(of, _)| *of == own) {
            Some((_, known)) => *known = value,
            None => self.0.push((own, value)),
        }
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        let own = TypeId::of::<T>();
        self.0.iter().find(|(of, _)| *of == own).and_then(|(_, value)| value.downcast_ref())
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
