//! Routes whose handlers have to say who may call: one whose first argument is none of the rights does not compile.
//!
//! **In**: handlers. **Out**: a router of axum's.
//!
//! Must never know: what the rights are about.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{self, MethodRouter};

use super::{
    Gate, KeyAdmin, LinkOwner, OpenPortal, Operator, PackageOwner, PackageReader, PackageWriter, PortalAdmin,
    PortalMember, Public, Session, SignedIn, TagAdmin, TeamAdmin, TeamMember, TeamOperator, WebhookAdmin,
};

/// An extractor that stands for a right.
pub(crate) trait Right {}

macro_rules! rights {
    ($($right:ident)+) => {$(impl Right for $right {})+};
}

rights! {
    KeyAdmin LinkOwner OpenPortal Operator PackageOwner PackageReader PackageWriter PortalAdmin PortalMember Public Session SignedIn
    TagAdmin TeamAdmin TeamMember TeamOperator WebhookAdmin
}

/// The arguments of a handler of which the first is a right. (What stands before it is axum's mark of how they are read.)
pub(crate) trait BeginWithARight {}

macro_rules! arguments {
    ($($argument:ident)*) => {
        impl<Mark, First: Right, $($argument),*> BeginWithARight for (Mark, First, $($argument,)*) {}
    };
}

arguments!();
arguments!(A);
arguments!(A B);
arguments!(A B C);
arguments!(A B C D);
arguments!(A B C D E);
arguments!(A B C D E F);
arguments!(A B C D E F G);

macro_rules! first {
    ($($method:ident)+) => {$(
        /// The handler of this method.
        pub(crate) fn $method<H, T>(handler: H) -> Methods
        where
            H: Handler<T, Gate>,
            T: BeginWithARight + 'static,
        {
            Methods(routing::$method(handler))
        }
    )+};
}

macro_rules! further {
    ($($method:ident)+) => {$(
        /// The handler of this method, too.
        pub(crate) fn $method<H, T>(self, handler: H) -> Self
        where
            H: Handler<T, Gate>,
            T: BeginWithARight + 'static,
        {
            Self(self.0.$method(handler))
        }
    )+};
}

/// The handlers of a route.
pub(crate) struct Methods(MethodRouter<Gate>);

first! { get post put delete }

impl Methods {
    further! { post put delete }
}

/// Routes, and what answers there.
#[derive(Default)]
pub(crate) struct Routes(Router<Gate>);

impl Routes {
    /// One more route.
    pub(crate) fn route(self, path: &str, methods: Methods) -> Self {
        Self(self.0.route(path, methods.0))
    }

    /// These, as axum serves them.
    pub(crate) fn into_router(self) -> Router<Gate> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use axum::Json;
    use axum::extract::State;
    use axum::http::HeaderMap;

    use super::*;
    use crate::Hub;

    /// `IS` is the first of these that holds for a type: whether [`get`] and its like take handlers with these arguments.
    struct Taken<T>(PhantomData<T>);

    impl<T: BeginWithARight> Taken<T> {
        const IS: bool = true;
    }

    trait OtherwiseNot {
        const IS: bool = false;
    }

    impl<T> OtherwiseNot for Taken<T> {}

    /// That this compiles is the proof: a handler that names no right, or names one behind something else, is not taken, and the hub
    /// itself is nothing that a handler could ask for.
    #[test]
    fn a_handler_without_a_right_does_not_compile() {
        const {
            assert!(Taken::<((), Public)>::IS);
            assert!(Taken::<((), TeamAdmin, Json<String>)>::IS);
            assert!(!Taken::<((),)>::IS);
            assert!(!Taken::<((), HeaderMap)>::IS);
            assert!(!Taken::<((), Json<String>, TeamAdmin)>::IS);
            assert!(!Taken::<((), State<Gate>)>::IS);
            assert!(!Taken::<((), State<Hub>)>::IS);
        }
    }
}
