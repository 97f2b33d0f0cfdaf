//! Agents.

use std::sync::Arc;

use crate::{
    AgentId, Error, Scope, Store,
    conformance::{
        assert_fails,
        fixtures::{Room, new_app},
    },
};

pub(super) async fn agents_outside_the_scope_do_not_exist(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let (app, agent) = (room.app.id, room.app.default_agent);

    for scope in room.inside() {
        assert_eq!(store.get_agent(&scope, app, agent).await.unwrap().id, agent);
        assert_eq!(store.list_agents(&scope, app).await.unwrap().len(), 1);
    }
    for scope in room.outside_app().await {
        assert_fails!(store.get_agent(&scope, app, agent).await, Error::AppNotFound(_));
        assert_fails!(store.list_agents(&scope, app).await, Error::AppNotFound(_));
    }
}

pub(super) async fn an_agent_is_found_in_its_own_app_only(store: Arc<dyn Store>) {
    let app = new_app(&store, "ann").await;
    let other = new_app(&store, "ann").await;
    let scope = Scope::Owner(app.owner.clone());

    for agent in [other.default_agent, AgentId::new()] {
        assert_fails!(store.get_agent(&scope, app.id, agent).await, Error::AgentNotFound);
    }
}
