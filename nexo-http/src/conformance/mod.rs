//! The suite that proves that an adapter serves the API as clients expect it.
//!
//! Whatever clients may rely on has a case here: an async function that is handed an empty
//! store and a way to serve an API, talks to it over a socket, and panics if something is not
//! as it should be. [`http_conformance!`] makes a test of each.
//!
//! An adapter's author enables the feature `conformance` in a dev-dependency, and writes one
//! file with two functions: one that gives an empty store, and one that serves an [`Api`] on
//! a socket of its own.
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use nexo_core::MemoryStore;
//! use nexo_http::{Api, conformance::Server};
//!
//! # mod my_adapter {
//! #     pub(crate) async fn serve(_: tokio::net::TcpListener, _: nexo_http::Api) {}
//! # }
//! struct Running(SocketAddr, tokio::task::JoinHandle<()>);
//!
//! impl Server for Running {
//!     fn address(&self) -> SocketAddr {
//!         self.0
//!     }
//! }
//!
//! impl Drop for Running {
//!     fn drop(&mut self) {
//!         self.1.abort();
//!     }
//! }
//!
//! async fn serve(api: Api) -> Running {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
//!     let address = listener.local_addr().unwrap();
//!     Running(address, tokio::spawn(my_adapter::serve(listener, api)))
//! }
//!
//! async fn memory() -> MemoryStore {
//!     MemoryStore::new()
//! }
//!
//! nexo_http::http_conformance!(serve, memory);
//! ```
//!
//! If something has to live as long as the store, such as the directory it keeps its file in,
//! the second function gives both: `(store, guard)`. Agents that the cases need listen on
//! loopback; nothing leaves the machine.
//!
//! [`Api`]: crate::Api
//! [`http_conformance!`]: crate::http_conformance
#![allow(clippy::unwrap_used, reason = "a case that can't go on has failed")]

mod accounts;
mod agents;
mod apps;
mod client;
mod cors;
mod defects;
mod deliveries;
mod events;
mod feed;
mod follow;
mod garbage;
mod hosted;
mod idempotency;
mod isolation;
mod limits;
mod messages;
mod openapi;
mod order;
mod partners;
mod raw;
mod replays;
mod resume;
mod runs;
mod signature;
mod streams;
mod subscribers;
mod tester;
mod threads;
mod users;
mod validation;
mod world;

use std::net::SocketAddr;

#[doc(hidden)]
pub use nexo_core::conformance::{Fresh, run};

pub use world::Setup;

/// A running server. Dropping it stops it.
pub trait Server: Send + Sync + 'static {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// Below which path the API is mounted: nothing, or such as `/api/v1`.
    fn prefix(&self) -> &str {
        ""
    }
}

/// Makes of one list of cases what calls them, and the macro that tests them.
///
/// The cases themselves are private. One that is not listed is an unused function, which the
/// compiler tells.
macro_rules! suite {
    ($d:tt $($noun:ident { $($case:ident,)* })*) => {
        /// The cases, each by its name.
        #[doc(hidden)]
        pub mod cases {
            use futures::future::BoxFuture;

            use super::Setup;

            $($(
                pub fn $case(setup: Setup) -> BoxFuture<'static, ()> {
                    Box::pin(super::$noun::$case(setup))
                }
            )*)*
        }

        /// Makes a test of each thing that clients may rely on, in the calling crate.
        ///
        /// It takes the paths of two async functions: one that serves an API, and one that
        /// gives an empty store; see [`conformance`](crate::conformance).
        #[macro_export]
        macro_rules! http_conformance {
            ($d serve:path, $d fresh:path) => {
                $($(
                    #[test]
                    fn $case() {
                        $crate::conformance::run(async {
                            let fresh = $d fresh().await;
                            let (store, _guard) = $crate::conformance::Fresh::split(fresh);
                            let store = ::std::sync::Arc::new(store);
                            let setup = $crate::conformance::Setup::new(store, $d serve);
                            $crate::conformance::cases::$case(setup).await;
                        });
                    }
                )*)*
            };
        }
    };
}

suite! { $
    accounts {
        a_new_user_signs_in_and_is_shown,
        what_a_new_user_may_not_choose_has_no_effect,
        every_password_rule_that_is_broken_is_told,
        an_address_is_taken_whatever_its_case,
        of_twenty_registrations_at_once_one_succeeds,
        an_address_that_is_none_is_refused_with_a_reason,
        an_unknown_language_is_refused,
        a_wrong_login_does_not_tell_what_was_wrong,
        a_login_is_a_form_of_either_kind,
        a_login_that_is_no_form_lacks_both_fields,
        signing_out_leaves_the_token_as_it_is,
        only_a_valid_token_signs_somebody_in,
        a_token_ends_with_its_users_right_to_sign_in,
        a_forgotten_password_is_reset_once,
        a_bad_reset_token_changes_nothing,
        asking_for_a_mail_does_not_tell_who_exists,
        an_address_is_verified_once,
        an_address_that_has_changed_since_is_not_verified,
        an_old_hash_is_replaced_at_login,
    }
    users {
        a_user_changes_what_is_theirs,
        a_new_address_is_not_verified,
        a_taken_address_can_not_be_chosen,
        a_new_password_ends_older_tokens,
        null_is_no_value_for_a_user,
        a_flag_is_a_boolean_or_reads_like_one,
        only_superusers_see_other_users,
        a_superuser_changes_any_user,
        an_unknown_user_is_not_found,
        a_superuser_changes_others_by_the_same_rules,
        a_deleted_user_takes_their_apps_along,
    }
    apps {
        an_app_is_created_read_changed_and_deleted,
        what_a_change_does_not_name_stays_and_null_clears,
        a_secret_is_never_shown,
        the_mask_leaves_a_secret_as_it_is,
        apps_are_listed_in_pages_oldest_first,
        a_page_out_of_range_is_told_whole,
        somebody_elses_app_does_not_exist,
        the_collection_answers_without_its_slash_as_well,
        a_partner_is_nobody_among_apps,
        an_address_that_must_not_be_called_is_not_stored,
        what_is_interpreted_of_a_configuration_is_checked,
        a_stored_configuration_from_before_the_check_still_runs,
        a_configuration_is_replaced_or_merged,
        null_is_no_name_and_no_configuration,
        names_and_configurations_have_a_size,
        a_deleted_app_takes_everything_along,
    }
    threads {
        a_thread_starts_with_a_greeting,
        an_app_says_how_it_greets,
        a_customer_is_one_subscriber_per_app,
        fifty_new_threads_at_once_share_one_subscriber,
        texts_of_a_thread_have_a_length,
        threads_are_listed_in_pages_the_latest_change_first,
        threads_are_filtered_by_customer_and_label,
        a_thread_is_changed_and_its_time_with_it,
        a_label_is_one_of_three,
        a_label_hides_and_stops_nothing,
        posting_to_a_deleted_thread_can_be_forbidden,
        a_deleted_thread_takes_an_orphaned_subscriber_along,
        a_customer_who_speaks_is_seen,
    }
    messages {
        a_customers_message_is_stored_as_it_was_sent,
        a_message_may_be_empty,
        a_message_starts_no_run,
        a_message_in_the_agents_place_says_so,
        fifty_messages_at_once_leave_no_gap,
        a_customers_message_touches_the_subscriber,
        the_newest_messages_are_shown_and_pages_lead_both_ways,
        a_page_of_long_messages_is_whole,
        a_page_of_messages_leads_one_way_only,
        what_is_said_has_a_size,
        a_message_of_somebody_else_does_not_exist,
    }
    subscribers {
        subscribers_are_listed_who_spoke_last_first,
        a_subscriber_is_shown_whole_and_in_a_list,
        a_search_takes_every_character_as_it_is,
        a_subscribers_threads_are_listed_with_their_newest_message,
        a_subscriber_of_another_app_does_not_exist,
        a_forged_cursor_is_refused,
    }
    partners {
        a_partner_works_with_its_app,
        every_row_of_the_partner_table_holds_on_every_route,
        partner_headers_win_over_a_token,
        an_app_that_is_unknown_or_has_no_secret_lets_no_partner_in,
        a_partner_sees_nothing_of_another_app,
        a_partner_may_not_where_only_owners_may,
        an_app_can_grant_its_partners_more,
        a_replaced_secret_is_valid_beside_the_new_one,
        a_partner_whom_a_login_vouches_for_works_with_its_app,
    }
    runs {
        the_simulator_echoes_and_its_answer_is_stored,
        nobody_has_said_anything_yet,
        an_answered_message_is_answered_again,
        the_support_scenario_follows_from_the_length,
        the_simulator_does_as_it_is_told,
        the_simulator_can_be_slow_and_can_fail,
        a_webhook_without_an_address_is_simulated,
        an_agent_is_sent_exactly_the_payload,
        a_request_to_an_agent_is_signed_with_the_secret,
        an_agent_is_told_the_newest_ten_messages,
        what_an_agent_answers_wrongly_is_told_by_its_key,
        an_agent_that_is_not_there_is_told_by_its_key,
        a_slow_agent_is_cut_off,
        a_stored_address_is_checked_again_when_it_is_called,
        a_reply_is_text_or_a_number_or_a_stream,
        a_stream_that_breaks_off_is_kept_as_far_as_it_came,
        two_runs_at_once_are_one,
        an_agent_that_says_too_much_is_cut_off,
        a_run_goes_on_when_whoever_asked_is_gone,
    }
    streams {
        a_stream_has_its_headers_and_comes_in_chunks,
        the_simulator_streams_in_deltas_of_twenty_characters,
        a_streamed_reply_is_stored_before_it_is_done,
        a_client_that_forgets_half_read_events_misses_nothing,
        a_client_that_reads_any_number_of_bytes_is_not_misled,
        a_stream_says_why_the_simulator_answers,
        a_reply_that_came_at_once_is_streamed,
        what_an_agent_streams_goes_on_at_once,
        an_agents_stream_is_read_however_it_is_written,
        a_failed_stream_ends_with_error_and_done,
        a_failed_stream_says_what_was_kept,
        a_stream_that_just_stops_is_completed_as_truncated,
        a_reply_is_stored_when_its_reader_is_gone,
        a_second_reader_sees_the_run_from_its_start,
        silence_is_broken_by_comments,
        what_is_wrong_beforehand_is_told_by_status,
        a_refused_address_ends_a_stream_with_error_and_done,
        a_thread_that_is_deleted_under_way_ends_its_stream,
    }
    resume {
        a_reader_goes_on_after_any_event,
        a_header_is_newer_than_the_query,
        a_reader_goes_on_while_the_run_is_under_way,
        only_who_can_go_on_is_told_when,
        a_cursor_that_nobody_was_given_is_refused,
        a_run_is_watched_and_shown_on_its_own_path,
        runs_are_listed_by_app_and_by_thread,
        a_run_that_is_stopped_keeps_what_was_said,
        a_busy_thread_does_as_it_is_asked,
        what_is_wrong_with_a_wish_is_told,
        a_burst_is_answered_once,
        an_agent_may_answer_later,
        a_run_behind_a_late_answer_is_not_waited_for_either,
        a_body_takes_up_no_room_while_its_agent_speaks,
        who_watches_a_run_shows_now_and_then_that_they_may,
        a_run_that_does_not_wait_takes_no_answer,
        partners_see_and_stop_runs_if_they_may,
    }
    feed {
        who_watches_a_thread_sees_what_changes,
        who_watches_a_thread_goes_on_after_any_event,
        the_seq_of_a_message_is_a_cursor,
        a_cursor_of_a_thread_that_nobody_was_given_is_refused,
        only_who_goes_on_in_a_thread_is_told_when,
        silence_in_a_thread_is_broken_by_comments,
        who_watches_shows_now_and_then_that_they_may,
        a_slow_reader_of_a_thread_misses_nothing,
        a_deleted_thread_ends_those_who_watch_it,
        what_nobody_tells_of_is_seen_all_the_same,
        who_watches_an_app_is_told_where_to_look,
        partners_watch_runs_if_they_may_see_them,
    }
    deliveries {
        a_delivery_is_shown_byte_for_byte,
        a_streams_pieces_are_kept_with_their_times,
        deliveries_are_listed_in_pages_and_filtered,
        what_is_wrong_with_a_list_of_deliveries_is_told,
        a_delivery_is_sent_again_byte_for_byte_to_where_its_agent_is_now,
        what_an_agent_says_to_a_repetition_is_shown_whatever_it_is,
        a_delivery_that_can_not_be_sent_again_is_told_why,
        partners_see_and_repeat_deliveries_if_they_may,
    }
    replays {
        a_dry_replay_puts_the_same_turn_and_stores_only_its_record,
        a_dry_replay_tells_what_went_wrong,
        a_dry_replay_needs_no_free_thread_and_keeps_none_busy,
        a_run_is_replayed_before_it_has_ended,
        a_message_is_answered_again_while_it_is_the_newest,
        what_is_wrong_with_a_replay_is_told,
        a_replay_needs_no_body,
    }
    idempotency {
        a_thread_or_message_with_a_key_is_made_once,
        a_run_with_a_key_is_repeated_and_never_made_again,
        a_key_of_another_request_is_refused,
        a_key_that_is_none_is_refused,
        a_request_that_failed_may_be_tried_again,
        keys_are_an_apps_own,
        what_a_key_made_and_is_deleted_is_not_found,
        a_hundred_requests_with_one_key_have_one_effect,
        one_call_says_something_and_has_it_answered,
        a_question_with_a_key_is_asked_once,
        where_an_answer_is_refused_nothing_is_said,
        what_is_wrong_with_a_question_is_told,
    }
    follow {
        a_stream_on_another_server_shows_the_text_as_it_comes,
        who_waits_for_a_queued_run_is_told_how_to_go_on,
        a_stream_that_is_cut_anywhere_is_read_to_the_same_end,
    }
    tester {
        the_tester_sends_the_sample_payload,
        the_tester_tells_every_outcome,
        the_tester_tells_what_can_not_be_reached,
        the_tester_calls_nothing_that_is_refused,
        the_tester_says_whether_it_signed,
        the_tester_needs_an_address_and_an_app,
    }
    order {
        an_unknown_path_is_not_found,
        a_path_is_matched_as_it_was_sent,
        a_wrong_method_is_told_which_are_right,
        head_is_not_answered_like_get,
        a_slash_too_many_leads_to_the_path_without,
        broken_json_is_told_before_anything_else,
        owners_are_checked_then_their_request_then_what_it_names,
        partner_routes_look_up_before_they_check_the_request,
    }
    validation {
        all_that_is_wrong_is_told_at_once,
        an_absent_field_is_told_with_what_is_around_it,
        an_absent_body_is_missing,
        a_body_that_is_no_object_is_told_as_such,
        json_counts_only_if_it_is_said_to_be_json,
        no_answer_repeats_a_secret,
        an_id_in_a_path_has_several_spellings,
    }
    garbage {
        a_value_of_a_wrong_type_is_refused_in_every_field,
        a_body_that_is_no_good_json_is_refused_everywhere,
        no_text_may_have_a_zero_in_it,
        odd_values_in_a_query_blame_nobody_else,
        odd_ids_in_a_path_name_nothing,
        of_equal_names_the_last_counts,
        free_form_data_comes_back_as_it_went,
    }
    isolation {
        nobody_who_must_not_reaches_what_is_somebody_elses,
        what_names_nothing_is_open_only_if_it_is_meant_to_be,
        an_app_of_ones_own_leads_to_nothing_of_another,
        the_token_of_a_deactivated_owner_opens_nothing_any_more,
    }
    raw {
        a_body_that_is_too_large_is_refused_unread,
        a_body_may_come_in_chunks,
        a_body_ends_where_its_length_says,
        a_body_that_breaks_off_has_no_effect,
        a_compressed_body_is_refused,
        a_long_address_is_refused,
        long_headers_are_refused,
        a_header_may_have_any_bytes,
        an_answer_without_a_body_says_so,
        a_connection_carries_one_request_after_another,
    }
    hosted {
        a_host_has_endpoints_beside_the_api,
        a_host_has_pages_on_the_apis_own_paths,
        a_stream_that_nobody_reads_is_let_go,
        a_stream_with_a_defect_is_cut,
    }
    cors {
        a_preflight_of_an_allowed_origin_is_answered,
        a_preflight_of_another_origin_is_refused,
        every_answer_tells_an_allowed_origin_that_it_may_read_it,
        any_origin_can_be_allowed,
        an_embedded_api_says_nothing_about_origins,
    }
    defects {
        a_defect_ends_one_request_and_is_readable_everywhere,
        without_accounts_there_are_no_routes_for_them,
        every_answer_has_a_request_id,
        a_run_with_a_defect_ends_like_any_that_failed,
    }
    limits {
        guessing_a_password_is_limited_and_locks_nobody_out,
        what_one_network_may_do_is_limited,
        guessing_a_secret_is_limited_and_locks_no_partner_out,
        a_network_that_guesses_is_not_listened_to,
        the_runs_of_one_owner_are_limited,
        each_network_has_a_limit_of_its_own,
        behind_a_proxy_the_last_forwarded_address_counts,
    }
    openapi {
        the_document_has_the_names_that_clients_know,
        every_reference_in_the_document_leads_somewhere,
        the_document_says_where_a_token_is_needed,
        the_document_can_be_moved_and_turned_off,
        the_whole_response_of_each_kind_is_described,
    }
}
