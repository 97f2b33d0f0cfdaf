//! The cases of [`Store`].

mod agents;
mod apps;
mod deliveries;
mod events;
mod feed;
mod handlers;
mod idempotency;
mod keys;
mod messages;
mod paging;
mod queue;
mod races;
mod replays;
mod runs;
mod servers;
mod subscribers;
mod threads;

use std::sync::Arc;

use super::suite;
use crate::Store;

suite! { $
    /// Makes a test of each promise of [`Store`](crate::Store), in the calling crate.
    ///
    /// It takes the path of an async function that gives an empty store, or an empty store and
    /// what has to live as long; see [`conformance`](crate::conformance).
    ///
    /// ```
    /// mod conformance {
    ///     use nexo_core::MemoryStore;
    ///
    ///     async fn fresh_store() -> MemoryStore {
    ///         MemoryStore::new()
    ///     }
    ///
    ///     nexo_core::store_conformance!(fresh_store);
    /// }
    /// ```
    macro store_conformance(store: Arc<dyn Store>) from Fresh;

    apps {
        a_new_app_comes_with_its_main_agent,
        an_app_keeps_what_it_was_given,
        an_app_is_seen_from_every_scope_that_holds_it,
        an_app_outside_the_scope_does_not_exist,
        apps_are_listed_oldest_first_and_changes_do_not_move_them,
        a_page_of_apps_past_the_end_is_empty_and_has_the_total,
        a_change_of_an_app_leaves_what_it_does_not_name,
        a_change_of_an_app_clears_what_it_sets_to_nothing,
        a_configuration_is_merged_or_replaced,
        merges_at_once_lose_nothing,
        deleting_an_app_deletes_all_that_belongs_to_it,
        deleting_an_app_leaves_the_others_alone,
        an_app_that_is_ensured_is_made_with_its_agents,
        an_app_that_is_ensured_again_stays_as_it_is,
        an_app_that_is_ensured_gets_the_agents_that_it_lacks,
        an_app_that_fifty_ensure_at_once_is_made_once,
        of_several_apps_the_oldest_is_ensured,
        another_owners_app_is_not_ensured,
    }
    agents {
        agents_outside_the_scope_do_not_exist,
        an_agent_is_found_in_its_own_app_only,
    }
    keys {
        the_webhook_secret_is_a_key,
        a_replaced_secret_stays_a_key_until_its_overlap_ends,
        a_replaced_secret_is_forgotten_after_its_overlap,
        without_an_overlap_a_replaced_secret_ends_at_once,
        clearing_the_secret_takes_both_keys_away,
        setting_the_same_secret_again_leaves_its_key,
        an_app_that_does_not_exist_has_no_keys,
        one_key_in_two_apps_looks_different,
    }
    subscribers {
        a_subscriber_comes_with_its_first_thread,
        a_subscriber_outside_the_scope_does_not_exist,
        a_customer_finds_no_other_customer_in_the_list,
        subscribers_are_searched_regardless_of_case,
        wildcards_in_a_search_are_characters_like_any_other,
        subscribers_of_another_app_are_not_found,
        a_list_of_subscribers_counts_threads_of_any_status,
        a_preview_shows_the_start_of_the_newest_message,
        a_subscriber_in_a_list_shows_the_newest_message_of_all_threads,
        a_subscribers_threads_show_how_much_was_said,
    }
    threads {
        a_thread_keeps_what_it_was_given,
        a_greeting_is_the_first_message,
        without_a_customer_there_is_no_subscriber,
        threads_of_one_customer_share_a_subscriber,
        fifty_threads_at_once_for_a_new_customer_share_a_subscriber,
        another_thread_is_seen_by_the_subscriber,
        a_thread_in_an_app_outside_the_scope_is_not_created,
        a_thread_is_seen_from_every_scope_that_holds_it,
        a_thread_outside_the_scope_does_not_exist,
        a_list_of_threads_is_bound_to_its_scope,
        threads_are_filtered_by_exact_customer_and_by_status,
        a_change_of_a_thread_leaves_what_it_does_not_name,
        every_change_of_a_thread_touches_it,
        deleting_a_thread_deletes_what_was_said_and_run,
        a_subscriber_goes_with_its_last_thread,
        a_deleted_threads_run_can_speak_no_more,
    }
    paging {
        a_walk_over_subscribers_neither_skips_nor_repeats,
        a_walk_over_threads_neither_skips_nor_repeats,
        a_walk_over_a_subscribers_threads_neither_skips_nor_repeats,
        a_filtered_walk_neither_skips_nor_repeats,
        a_walk_within_a_customers_scope_neither_skips_nor_repeats,
        rows_that_do_not_move_survive_a_change_during_the_walk,
        a_full_last_page_has_no_next,
        forged_cursors_are_refused,
        a_cursor_of_another_list_is_refused,
        a_cursor_at_the_end_of_time_does_no_harm,
    }
    messages {
        messages_are_numbered_from_one,
        fifty_appends_at_once_leave_no_gap,
        what_is_said_comes_back_unchanged,
        long_texts_come_back_unchanged,
        structured_data_comes_back_character_by_character,
        a_message_touches_its_thread,
        only_a_users_message_touches_the_subscriber,
        a_thread_labelled_deleted_takes_only_what_is_meant_for_it,
        the_newest_messages_are_listed_in_rising_order,
        messages_after_a_number_are_listed_oldest_first,
        a_list_of_long_messages_ends_early,
        messages_outside_the_scope_do_not_exist,
        a_thread_of_another_app_takes_no_message,
    }
    runs {
        a_run_answers_the_newest_user_message,
        a_run_is_told_the_newest_messages_in_rising_order,
        fifty_starts_at_once_make_one_run,
        a_thread_without_a_user_message_starts_no_run,
        a_thread_outside_the_scope_starts_no_run,
        finishing_a_run_speaks_its_reply,
        a_reply_touches_the_thread_but_not_the_subscriber,
        a_run_may_end_without_a_reply,
        every_end_and_every_failure_is_kept,
        a_wrong_fence_finishes_nothing,
        a_run_is_finished_once,
        of_many_finishes_at_once_one_speaks,
        replies_and_messages_at_once_leave_no_gap,
        after_its_end_another_run_may_start,
        a_run_outside_the_scope_does_not_exist,
    }
    events {
        what_a_run_says_is_followed_from_any_segment,
        a_segment_that_is_appended_again_stays_as_it_is,
        many_runs_are_followed_at_once,
        a_new_attempt_is_followed_from_its_start,
        much_text_comes_in_parts,
        what_has_ended_is_told_without_its_segments,
        segments_of_runs_that_are_gone_are_dropped,
        segments_are_pruned_by_slices_after_the_end,
    }
    deliveries {
        a_delivery_comes_back_byte_for_byte,
        a_list_of_deliveries_shows_all_but_what_was_said,
        deliveries_are_listed_newest_first,
        deliveries_are_filtered,
        deliveries_outside_the_scope_are_not_listed,
        a_delivery_outside_the_scope_does_not_exist,
        a_cursor_that_is_none_of_deliveries_is_refused,
        a_window_may_have_any_bounds,
        old_deliveries_are_pruned_by_slices_the_oldest_first,
        a_delivery_whose_run_is_gone_is_dropped,
    }
    feed {
        a_new_thread_has_version_one_and_its_greeting_comes_after,
        every_change_is_found_after_the_version_before_it,
        runs_that_change_at_once_have_versions_of_their_own,
        what_changed_often_is_listed_once_as_it_is_now,
        pages_of_changes_leave_nothing_out,
        a_seq_stands_for_the_version_of_its_message,
        a_cursor_that_nobody_can_have_is_refused,
        changes_outside_the_scope_do_not_exist,
        versions_of_many_threads_are_found_at_once,
        the_newest_threads_are_those_of_lists,
        a_reader_misses_nothing_while_many_write,
        what_time_brings_about_is_a_change,
    }
    replays {
        a_replay_comes_back_as_it_was,
        a_replay_leaves_its_run_and_thread_alone,
        replays_are_listed_newest_first,
        a_replay_outside_the_scope_does_not_exist,
        a_replay_whose_run_is_gone_is_dropped,
    }
    queue {
        a_newer_message_waits_behind_the_run_of_an_older_one,
        the_end_of_a_run_makes_the_oldest_behind_it_due,
        a_wish_for_a_free_thread_does_not_overtake_what_is_due,
        a_wish_that_may_not_wait_is_refused,
        a_wish_for_a_message_that_is_not_the_newest_is_refused,
        an_impatient_wish_stops_what_is_under_way,
        an_impatient_wish_begins_at_once_where_nothing_runs,
        an_impatient_wish_does_not_wait_for_a_late_answer,
        the_apps_own_rule_holds_where_a_wish_says_nothing,
        a_burst_of_messages_is_answered_once,
        a_burst_behind_a_run_is_answered_once,
        a_due_run_of_a_busy_thread_is_behind_another_again,
        of_many_servers_one_claims_a_run,
        a_claim_takes_the_longest_due_and_no_more_than_asked,
        a_run_that_is_handed_back_goes_on_elsewhere,
        a_stopped_run_that_is_handed_back_does_not_begin_again,
        a_run_has_its_whole_time_from_when_it_begins,
        a_waiting_run_keeps_its_thread_until_it_is_answered,
        a_running_run_is_told_to_stop,
        a_queued_or_waiting_run_stops_at_once,
        what_has_ended_cannot_be_stopped,
        a_run_outside_the_scope_is_not_stopped,
        runs_are_listed_newest_first,
        a_list_of_runs_is_bound_to_its_scope,
    }
    handlers {
        a_run_carries_the_handler_that_its_agent_needs,
        a_run_whose_handler_is_elsewhere_is_queued_and_due,
        what_is_said_waits_for_a_server_with_the_handler,
        a_claim_is_given_what_its_server_can_handle,
        a_run_is_taken_over_by_a_server_with_its_handler,
        a_run_that_no_server_can_handle_fails,
        a_run_waits_while_a_live_server_has_its_handler,
        a_run_that_needs_no_handler_does_not_fail_for_one,
    }
    servers {
        runs_of_a_server_that_never_beat_are_queued_again,
        runs_of_a_server_that_fell_silent_are_queued_again,
        a_run_that_was_taken_over_begins_again_elsewhere,
        a_new_attempt_gives_a_run_no_new_time,
        runs_of_this_and_of_live_servers_are_left_alone,
        a_run_that_its_own_server_does_not_carry_is_queued_again,
        runs_that_a_server_carries_are_left_alone,
        ended_runs_are_never_swept,
        a_run_that_was_taken_over_can_speak_no_more,
        of_many_servers_one_takes_a_run_over,
        a_stopped_run_whose_server_is_gone_ends,
        a_run_whose_time_is_over_expires,
        a_waiting_run_expires_after_its_patience,
        a_pinned_setting_stands,
        a_setting_is_replaced_by_whoever_knows_it,
        settings_pinned_at_once_are_the_same_for_all,
        a_server_may_report_in_any_order,
        pruning_leaves_live_servers_alone,
    }
    idempotency {
        a_message_with_a_key_is_appended_once,
        a_thread_with_a_key_is_created_once,
        a_run_with_a_key_is_started_once,
        a_key_names_the_run_that_was_joined,
        what_is_said_is_answered_in_the_same_step,
        what_is_said_on_a_busy_thread_waits_its_turn,
        where_an_answer_is_refused_nothing_is_said,
        a_question_with_a_key_is_asked_once,
        a_hundred_requests_at_once_with_one_key_have_one_effect,
        a_key_of_another_request_is_refused,
        keys_of_two_apps_do_not_meet,
        a_request_that_failed_leaves_no_key,
        what_a_key_made_is_found_from_within_its_scope_only,
        what_a_key_made_and_is_gone_is_not_made_again,
        a_key_that_is_too_old_is_free,
        old_keys_are_pruned_by_slices_the_oldest_first,
    }
    races {
        a_thread_may_be_deleted_while_it_is_used,
        an_app_may_be_deleted_while_it_is_used,
        a_subscriber_who_returns_while_their_last_thread_is_deleted_stays,
        a_run_finished_and_taken_over_at_once_goes_one_way,
        a_run_queued_while_the_one_before_ends_is_not_forgotten,
    }
}
