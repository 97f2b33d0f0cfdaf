//! Sections: the table's paths as they are registered with actix, by their first segment.

use std::{collections::BTreeMap, rc::Rc};

use actix_web::{
    Error,
    dev::{
        AppService, HttpServiceFactory, ResourceDef, ResourceMap, ServiceRequest, ServiceResponse,
        fn_service,
    },
    guard::{Guard, fn_guard},
};
use nexo_http::{Route, Routes};
use tokio::runtime::Handle;

/// All paths with the same first segment, as one service.
///
/// actix tries path by path, and a regular expression for each that has a parameter: with the
/// length of this table, that takes ten times what all the rest of a request does. So it only
/// looks for the first segment, which is plain text, and the table finds the path. The host
/// sees the patterns all the same, in [`HttpRequest::match_pattern`].
///
/// [`HttpRequest::match_pattern`]: actix_web::HttpRequest::match_pattern
pub(crate) struct Section {
    /// What its paths begin with: `/apps`; nothing if that is a parameter.
    prefix: String,
    /// What comes after it.
    patterns: Vec<String>,
    routes: Routes,
    runtime: Option<Handle>,
}

impl Section {
    /// All there are.
    pub(crate) fn all(routes: &Routes, runtime: &Option<Handle>) -> impl Iterator<Item = Self> {
        let mut sections = BTreeMap::<String, Vec<String>>::new();
        for route in routes.iter() {
            let (prefix, pattern) = route.path().split_at(first_segment(route.path()));
            sections.entry(prefix.to_owned()).or_default().push(pattern.to_owned());
        }
        sections.into_iter().map(|(prefix, patterns)| Self {
            prefix,
            patterns,
            routes: routes.clone(),
            runtime: runtime.clone(),
        })
    }

    /// What actix needs to know to tell the host which pattern a path has.
    fn map(&self, definition: &ResourceDef) -> Rc<ResourceMap> {
        let mut map = ResourceMap::new(definition.clone());
        for pattern in &self.patterns {
            map.add(&mut ResourceDef::new(pattern.as_str()), None);
        }
        Rc::new(map)
    }

    /// Lets pass what is in the table, so that the host can have other paths that begin the
    /// same. A guard does not know where the API is mounted: that is before any of the prefixes.
    fn guard(&self) -> Box<dyn Guard> {
        let (routes, prefix) = (self.routes.clone(), self.prefix.clone());
        Box::new(fn_guard(move |context| {
            let path = context.head().uri.path();
            path.match_indices(&prefix).any(|(at, _)| routes.find(&path[at..]).is_some())
        }))
    }

    /// The route of a request, of whose path the prefix has been cut off. The table knows paths
    /// as they were sent; what actix matches is decoded, but for its slashes.
    fn find(&self, request: &ServiceRequest) -> Option<Route> {
        let parts = [self.prefix.as_str(), request.match_info().unprocessed()];
        let slashes: usize = parts.iter().map(|part| part.matches('/').count()).sum();
        let path = request.path();
        let (start, _) = path.rmatch_indices('/').nth(slashes.checked_sub(1)?)?;
        self.routes.find(&path[start..])
    }
}

impl HttpServiceFactory for Section {
    fn register(self, config: &mut AppService) {
        let definition = ResourceDef::prefix(self.prefix.as_str());
        let (guards, map) = (vec![self.guard()], self.map(&definition));
        let section = Rc::new(self);
        let service = fn_service(move |request: ServiceRequest| {
            let route = section.find(&request).unwrap_or_else(|| section.routes.fallback());
            let runtime = section.runtime.clone();
            async move {
                let (request, payload) = request.into_parts();
                let response = crate::answer(route, runtime, &request, payload).await;
                Ok::<_, Error>(ServiceResponse::new(request, response))
            }
        });
        config.register_service(definition, Some(guards), service, Some(map));
    }
}

/// Where the first segment of a pattern ends; at the beginning if that is a parameter.
fn first_segment(pattern: &str) -> usize {
    let end = pattern[1..].find('/').map_or(pattern.len(), |slash| slash + 1);
    if pattern[..end].contains('{') { 0 } else { end }
}
