//! The suites notice a store or a dispatcher that breaks its promises: a suite that passes
//! everything would prove nothing.

#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

#[path = "../in_process/stage.rs"]
mod actors;
mod dispatchers;
mod faulty;

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use faulty::{Fault, FaultyStore};
use nexo_core::conformance::{accounts::cases as accounts, run, store::cases as store};

/// Whether a case holds with a store that has this fault.
fn passes<F>(fault: Option<Fault>, case: impl FnOnce(Arc<FaultyStore>) -> F) -> bool
where
    F: Future<Output = ()>,
{
    holds(|| case(Arc::new(FaultyStore::new(fault))))
}

/// Whether a case comes to its end.
fn holds<F: Future<Output = ()>>(case: impl FnOnce() -> F) -> bool {
    catch_unwind(AssertUnwindSafe(|| run(case()))).is_ok()
}

/// Makes a test of each fault: the cases pass without it, and none of them with it.
macro_rules! noticed {
    ($($name:ident: $fault:ident { $($suite:ident::$case:ident,)* })*) => {$(
        #[test]
        fn $name() {
            $(
                let case = stringify!($case);
                assert!(passes(None, |store| $suite::$case(store)), "{case} fails without a fault");
                assert!(
                    !passes(Some(Fault::$fault), |store| $suite::$case(store)),
                    "{case} does not notice the fault",
                );
            )*
        }
    )*};
}

noticed! {
    a_store_that_loses_the_scope_is_noticed: LosesScope {
        store::an_app_outside_the_scope_does_not_exist,
        store::agents_outside_the_scope_do_not_exist,
        store::a_subscriber_outside_the_scope_does_not_exist,
        store::a_customer_finds_no_other_customer_in_the_list,
        store::a_thread_in_an_app_outside_the_scope_is_not_created,
        store::a_thread_outside_the_scope_does_not_exist,
        store::a_list_of_threads_is_bound_to_its_scope,
        store::messages_outside_the_scope_do_not_exist,
        store::a_thread_outside_the_scope_starts_no_run,
        store::a_run_outside_the_scope_does_not_exist,
        store::deliveries_outside_the_scope_are_not_listed,
        store::changes_outside_the_scope_do_not_exist,
        store::a_delivery_outside_the_scope_does_not_exist,
        store::a_replay_outside_the_scope_does_not_exist,
        store::what_a_key_made_is_found_from_within_its_scope_only,
    }
    a_store_that_sees_a_customers_whole_app_is_noticed: WidensCustomers {
        store::a_subscriber_outside_the_scope_does_not_exist,
        store::a_customer_finds_no_other_customer_in_the_list,
        store::a_thread_outside_the_scope_does_not_exist,
        store::a_list_of_threads_is_bound_to_its_scope,
        store::messages_outside_the_scope_do_not_exist,
        store::a_thread_outside_the_scope_starts_no_run,
        store::a_run_outside_the_scope_does_not_exist,
        store::deliveries_outside_the_scope_are_not_listed,
        store::changes_outside_the_scope_do_not_exist,
        store::a_delivery_outside_the_scope_does_not_exist,
        store::a_replay_outside_the_scope_does_not_exist,
    }
    a_store_that_gives_one_number_twice_is_noticed: RepeatsSeq {
        store::messages_are_numbered_from_one,
        store::fifty_appends_at_once_leave_no_gap,
        store::replies_and_messages_at_once_leave_no_gap,
        store::the_newest_messages_are_listed_in_rising_order,
    }
    a_store_that_trims_texts_is_noticed: TrimsText {
        store::what_is_said_comes_back_unchanged,
    }
    a_store_that_takes_json_apart_is_noticed: RewritesJson {
        store::structured_data_comes_back_character_by_character,
    }
    a_store_that_ignores_labels_is_noticed: IgnoresLabel {
        store::a_thread_labelled_deleted_takes_only_what_is_meant_for_it,
    }
    a_store_that_forgets_the_greeting_is_noticed: ForgetsGreeting {
        store::a_greeting_is_the_first_message,
    }
    a_store_that_folds_customers_is_noticed: FoldsCustomers {
        store::threads_of_one_customer_share_a_subscriber,
    }
    a_store_that_ignores_the_fence_is_noticed: IgnoresFence {
        store::a_wrong_fence_finishes_nothing,
    }
    a_store_that_swallows_replies_is_noticed: SwallowsReply {
        store::finishing_a_run_speaks_its_reply,
        store::of_many_finishes_at_once_one_speaks,
    }
    a_store_that_replaces_instead_of_merging_is_noticed: ReplacesConfig {
        store::a_configuration_is_merged_or_replaced,
        store::merges_at_once_lose_nothing,
    }
    a_store_without_overlap_is_noticed: EndsSecretsAtOnce {
        store::a_replaced_secret_stays_a_key_until_its_overlap_ends,
    }
    a_store_without_keys_is_noticed: LosesKeys {
        store::the_webhook_secret_is_a_key,
    }
    a_store_that_skips_rows_is_noticed: SkipsRows {
        store::a_walk_over_subscribers_neither_skips_nor_repeats,
        store::a_walk_over_threads_neither_skips_nor_repeats,
        store::a_walk_over_a_subscribers_threads_neither_skips_nor_repeats,
        store::a_filtered_walk_neither_skips_nor_repeats,
        store::a_walk_within_a_customers_scope_neither_skips_nor_repeats,
        store::deliveries_are_listed_newest_first,
        store::replays_are_listed_newest_first,
    }
    a_store_that_ignores_cursors_is_noticed: IgnoresCursors {
        store::a_walk_over_threads_neither_skips_nor_repeats,
        store::forged_cursors_are_refused,
        store::a_cursor_that_is_none_of_deliveries_is_refused,
        store::a_cursor_of_another_list_is_refused,
        store::rows_that_do_not_move_survive_a_change_during_the_walk,
    }
    a_store_that_knows_wildcards_is_noticed: KnowsWildcards {
        store::wildcards_in_a_search_are_characters_like_any_other,
    }
    a_store_that_takes_no_status_for_any_is_noticed: TakesNoStatusForAny {
        store::threads_are_filtered_by_exact_customer_and_by_status,
    }
    a_store_that_counts_pages_only_is_noticed: CountsThePage {
        store::apps_are_listed_oldest_first_and_changes_do_not_move_them,
        store::a_page_of_apps_past_the_end_is_empty_and_has_the_total,
    }
    a_store_that_mixes_up_servers_is_noticed: MixesUpServers {
        store::runs_of_this_and_of_live_servers_are_left_alone,
    }
    a_store_that_forgets_what_is_carried_is_noticed: ForgetsCarried {
        store::runs_that_a_server_carries_are_left_alone,
    }
    a_store_that_claims_too_much_is_noticed: ClaimsTooMuch {
        store::a_claim_takes_the_longest_due_and_no_more_than_asked,
    }
    a_store_that_forgets_stops_is_noticed: ForgetsStops {
        store::a_running_run_is_told_to_stop,
    }
    a_store_that_ignores_filters_is_noticed: IgnoresFilters {
        store::runs_are_listed_newest_first,
        store::deliveries_are_filtered,
    }
    a_store_that_answers_whatever_is_newest_is_noticed: AnswersAnything {
        store::a_wish_for_a_message_that_is_not_the_newest_is_refused,
    }
    a_store_that_queues_always_is_noticed: QueuesAlways {
        store::a_wish_that_may_not_wait_is_refused,
        store::an_impatient_wish_stops_what_is_under_way,
        store::an_impatient_wish_begins_at_once_where_nothing_runs,
        store::the_apps_own_rule_holds_where_a_wish_says_nothing,
    }
    a_store_that_cuts_segments_is_noticed: CutsSegments {
        store::what_a_run_says_is_followed_from_any_segment,
        store::many_runs_are_followed_at_once,
    }
    a_store_that_tells_followers_everything_anew_is_noticed: ForgetsWhatIsKnown {
        store::what_a_run_says_is_followed_from_any_segment,
        store::many_runs_are_followed_at_once,
        store::a_new_attempt_is_followed_from_its_start,
    }
    a_store_whose_changes_share_versions_is_noticed: SharesVersions {
        store::every_change_is_found_after_the_version_before_it,
        store::runs_that_change_at_once_have_versions_of_their_own,
        store::what_changed_often_is_listed_once_as_it_is_now,
        store::a_reader_misses_nothing_while_many_write,
    }
    a_store_that_lists_too_many_changes_is_noticed: IgnoresChangeLimit {
        store::pages_of_changes_leave_nothing_out,
    }
    a_store_that_takes_a_seq_for_a_version_is_noticed: MistakesSeqs {
        store::a_seq_stands_for_the_version_of_its_message,
    }
    a_store_that_damages_bytes_is_noticed: DamagesBytes {
        store::a_delivery_comes_back_byte_for_byte,
    }
    a_store_that_lets_the_last_setting_stand_is_noticed: ForgetsSettings {
        store::a_pinned_setting_stands,
        store::settings_pinned_at_once_are_the_same_for_all,
    }
    a_store_that_takes_an_address_twice_is_noticed: AllowsTwins {
        accounts::an_address_is_taken_regardless_of_case,
        accounts::of_twenty_users_at_once_with_one_address_one_is_created,
    }
    a_store_that_ignores_conditions_is_noticed: IgnoresConditions {
        accounts::a_change_under_a_condition_that_fails_changes_nothing,
        accounts::of_many_resets_at_once_one_succeeds,
    }
    a_store_that_leases_nothing_is_noticed: LeasesNothing {
        accounts::a_queued_mail_is_claimed_once,
        accounts::mails_claimed_at_once_go_to_one_each,
    }
    a_store_that_gives_runs_to_anybody_is_noticed: IgnoresHandlers {
        store::a_run_whose_handler_is_elsewhere_is_queued_and_due,
        store::what_is_said_waits_for_a_server_with_the_handler,
        store::a_claim_is_given_what_its_server_can_handle,
        store::a_run_is_taken_over_by_a_server_with_its_handler,
    }
    a_store_that_forgets_who_has_what_is_noticed: ForgetsHandlers {
        store::a_run_waits_while_a_live_server_has_its_handler,
    }
    a_store_that_makes_an_app_each_time_is_noticed: MakesTwins {
        store::an_app_that_is_ensured_again_stays_as_it_is,
        store::an_app_that_fifty_ensure_at_once_is_made_once,
    }
    a_store_that_ensures_no_agents_is_noticed: ForgetsAgents {
        store::an_app_that_is_ensured_is_made_with_its_agents,
        store::an_app_that_is_ensured_gets_the_agents_that_it_lacks,
        store::an_app_that_fifty_ensure_at_once_is_made_once,
    }
    a_store_that_takes_everything_for_old_is_noticed: ForgetsAge {
        store::old_deliveries_are_pruned_by_slices_the_oldest_first,
        store::segments_are_pruned_by_slices_after_the_end,
        store::runs_of_this_and_of_live_servers_are_left_alone,
        store::runs_of_a_server_that_fell_silent_are_queued_again,
    }
    a_store_that_forgets_requests_is_noticed: ForgetsRequests {
        store::a_message_with_a_key_is_appended_once,
        store::a_thread_with_a_key_is_created_once,
        store::a_run_with_a_key_is_started_once,
        store::a_question_with_a_key_is_asked_once,
        store::a_hundred_requests_at_once_with_one_key_have_one_effect,
        store::a_key_of_another_request_is_refused,
    }
    a_store_that_ignores_bodies_is_noticed: IgnoresBodies {
        store::a_key_of_another_request_is_refused,
    }
    a_store_that_allows_one_more_is_noticed: AllowsOneMore {
        accounts::a_burst_is_allowed_and_no_more,
        accounts::fifty_takes_at_once_never_exceed_the_burst,
    }
}
