// Made by scripts/client.mjs from /api/v1/openapi.json; do not edit.
export interface paths {
    "/app/{client}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        /** What anybody may know of an OAuth application */
        get: operations["getApplicationInformation"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/detachexternal/{service_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description A login service: the name of its block, in lower case */
                service_id: components["parameters"]["service"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Untie the caller's account from a login service
         * @description Refused where the caller could not sign in any more.
         */
        post: operations["detachExternalLogin"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/discovery": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This API as Swagger 2.0 */
        get: operations["discovery"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/docs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document, to be read in a browser */
        get: operations["getContractPage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/entities/link/{username}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The name at the service, as `entities` finds it with kind external */
                username: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Give a user of the directory an account, to name it in permissions */
        post: operations["linkExternalUser"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/entities/{prefix}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description How the names begin */
                prefix: string;
            };
            cookie?: never;
        };
        /**
         * Find whom something can be given to
         * @description At most 10 of each kind: teams, organizations, users, robots. Robots,
         *     teams and who belongs to the organization are told to its members.
         */
        get: operations["getMatchingEntities"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/error/{type}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                type: string;
            };
            cookie?: never;
        };
        /** What an error_type means */
        get: operations["getErrorDescription"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/externallogin/{service_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description A login service: the name of its block, in lower case */
                service_id: components["parameters"]["service"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begin a sign-in at a login service
         * @description The browser that gets the answer goes to `auth_url` and comes back to
         *     `/oauth2/{service_id}/callback`, within ten minutes. `attach` ties the
         *     login to the account that is signed in; `cli` ends with a page that
         *     shows an application token.
         */
        post: operations["externalLogin"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/filedrop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        post: operations["getFiledropUrl"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/find/all": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Find anything that the caller may see
         * @description At most 5 of each kind. Who has not signed in finds repositories. A name
         *     that is the query scores 300, one that begins so 200, a repository with
         *     a later word that begins so 100, and 1 more for every star up to 99.
         */
        get: operations["conductSearch"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/find/repositories": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Find repositories that the caller may see
         * @description By the beginning of a word of the name; with a slash, in the namespace
         *     before it, too. The scores are those of find/all, and the first 300
         *     names count.
         */
        get: operations["conductRepoSearch"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/message/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Take a message back */
        delete: operations["deleteGlobalMessage"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/messages": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Messages to everybody */
        get: operations["getGlobalMessages"];
        put?: never;
        /** Tell everybody something */
        post: operations["createGlobalMessage"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document */
        get: operations["getContract"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Make an organization; the caller owns it */
        post: operations["createOrganization"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /** An organization */
        get: operations["getOrganization"];
        /** Change an organization; what is not given stays */
        put: operations["changeOrganizationDetails"];
        post?: never;
        /** Delete an organization with everything in it */
        delete: operations["deleteAdminedOrganization"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/aggregatelogs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /**
         * How often what happened in an organization and its repositories, by day
         * @description For 32 days at most.
         */
        get: operations["getAggregateOrgLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/applications": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /** List the OAuth applications */
        get: operations["getOrganizationApplications"];
        put?: never;
        /** Make an OAuth application */
        post: operations["createOrganizationApplication"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/applications/{client}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        /** An OAuth application */
        get: operations["getOrganizationApplication"];
        /** Change an OAuth application; what is not given stays */
        put: operations["updateOrganizationApplication"];
        post?: never;
        /** Delete an OAuth application; all its tokens end */
        delete: operations["deleteOrganizationApplication"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/applications/{client}/resetclientsecret": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Replace the secret; the old one ends at once */
        post: operations["resetOrganizationApplicationClientSecret"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/applications/{client}/tokens": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        /** List the application's tokens, without their secrets */
        get: operations["listOrganizationApplicationTokens"];
        put?: never;
        /**
         * Make a token that acts as the caller
         * @description A caller that uses a token itself can give no scope that it has not.
         */
        post: operations["createOrganizationApplicationToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/applications/{client}/tokens/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** End a token */
        delete: operations["deleteOrganizationApplicationToken"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/autoprunepolicy": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /**
         * The auto-prune policies of an organization
         * @description With FEATURE_AUTO_PRUNE.
         */
        get: operations["listOrganizationAutoPrunePolicies"];
        put?: never;
        /**
         * Make an auto-prune policy of an organization
         * @description An equal one is refused.
         */
        post: operations["createOrganizationAutoPrunePolicy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/autoprunepolicy/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** An auto-prune policy of an organization */
        get: operations["getOrganizationAutoPrunePolicy"];
        /** Change an auto-prune policy of an organization */
        put: operations["updateOrganizationAutoPrunePolicy"];
        post?: never;
        /** Delete an auto-prune policy of an organization */
        delete: operations["deleteOrganizationAutoPrunePolicy"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/collaborators": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /**
         * List the users who have permissions and are in no team
         * @description Of at most 10,000 permissions.
         */
        get: operations["getOrganizationCollaborators"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/exportlogs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Have the logs of an organization written to a file
         * @description With FEATURE_LOG_EXPORT. When the file is there, callback_url gets a POST with export_id, start_time, end_time, namespace, repository, exported_data_url and status: success, failed or timedout; or callback_email gets a message.
         */
        post: operations["exportOrgLogs"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/immutabilitypolicy": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /**
         * The immutability policies of an organization
         * @description With FEATURE_IMMUTABLE_TAGS.
         */
        get: operations["listOrganizationImmutabilityPolicies"];
        put?: never;
        /**
         * Make an immutability policy of an organization
         * @description An equal one is refused.
         */
        post: operations["createOrganizationImmutabilityPolicy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/immutabilitypolicy/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** An immutability policy of an organization */
        get: operations["getOrganizationImmutabilityPolicy"];
        /** Change an immutability policy of an organization */
        put: operations["updateOrganizationImmutabilityPolicy"];
        post?: never;
        /** Delete an immutability policy of an organization */
        delete: operations["deleteOrganizationImmutabilityPolicy"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /** What happened in an organization and its repositories */
        get: operations["listOrgLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/members": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /**
         * List the users in the organization's teams
         * @description Of at most 10,000 memberships, and with at most 10,000 permissions.
         */
        get: operations["getOrganizationMembers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/members/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        /** A member */
        get: operations["getOrganizationMember"];
        put?: never;
        post?: never;
        /** Take a user or a robot out of all teams and permissions of the organization */
        delete: operations["removeOrganizationMember"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/mirror": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /**
         * The mirror of an organization
         * @description With FEATURE_ORG_MIRROR.
         */
        get: operations["getOrgMirrorConfig"];
        /**
         * Change the mirror of an organization
         * @description What is absent stays.
         */
        put: operations["updateOrgMirrorConfig"];
        /**
         * Make an organization a mirror
         * @description No other repositories can be made in it then. external_registry_type, external_registry_url, external_namespace, robot_username, visibility, sync_interval and sync_start_date are required.
         */
        post: operations["createOrgMirrorConfig"];
        /**
         * End the mirror of an organization
         * @description Its repositories stay, in the state NORMAL.
         */
        delete: operations["deleteOrgMirrorConfig"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/mirror/repositories": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /** The repositories that the mirror of an organization has found */
        get: operations["listOrgMirrorRepositories"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/mirror/sync-cancel": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * End what runs for the mirror of an organization
         * @description 404 where nothing runs.
         */
        post: operations["cancelOrgMirrorSync"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/mirror/sync-now": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Look for repositories and run all mirrors now
         * @description 404 while that goes on.
         */
        post: operations["syncOrgMirrorNow"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/mirror/verify": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Ask the other registry whether its repositories can be listed
         * @description With what the body says, or else with what is stored.
         */
        post: operations["verifyOrgMirror"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/notifications": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /** The notifications of an organization */
        get: operations["listOrganizationNotifications"];
        put?: never;
        /** Have somebody told of events of an organization */
        post: operations["createOrganizationNotification"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/notifications/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** A notification */
        get: operations["getOrganizationNotification"];
        put?: never;
        /** Forget its failures, which enables it again */
        post: operations["resetOrganizationNotificationFailures"];
        /** Delete a notification, with what waits for it */
        delete: operations["deleteOrganizationNotification"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/notifications/{uuid}/failed": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** What was given up, the newest first (Gantry's own) */
        get: operations["listOrganizationFailedDeliveries"];
        put?: never;
        /** Deliver again what was given up (Gantry's own) */
        post: operations["resendOrganizationFailedDeliveries"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/notifications/{uuid}/test": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Deliver a sample, also if it is disabled */
        post: operations["testOrganizationNotification"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/prototypes": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /** List the default permissions of new repositories */
        get: operations["getOrganizationPrototypePermissions"];
        put?: never;
        /** Make a default permission */
        post: operations["createOrganizationPrototypePermission"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/prototypes/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                id: string;
            };
            cookie?: never;
        };
        get?: never;
        /** Change the role of a default permission */
        put: operations["updateOrganizationPrototypePermission"];
        post?: never;
        /** Delete a default permission */
        delete: operations["deleteOrganizationPrototypePermission"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/proxycache": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /**
         * For which registry an organization stands
         * @description With `FEATURE_PROXY_CACHE`. The credentials are never shown. All three fields are empty where the organization is no proxy cache.
         */
        get: operations["getProxyCacheConfig"];
        /**
         * Change a proxy cache
         * @description Gantry's own: Quay has it deleted and made anew. What is not given stays. Credentials that are given replace both; null is nobody's. Without any the stored ones stay, unless the registry is another one, or `insecure` now: then it is 400 until they are given again. Upstream is asked first, as by POST; 400 as well when somebody else has changed it meanwhile. What is cached stays.
         */
        put: operations["changeProxyCacheConfig"];
        /**
         * Make an organization a proxy cache
         * @description Upstream is asked first, with the credentials: 400 says what is wrong. Also 400 where the organization is one already, or has immutable tags.
         */
        post: operations["createProxyCacheConfig"];
        /**
         * Make a proxy cache an organization like any other
         * @description What is cached stays until its time is over.
         */
        delete: operations["deleteProxyCacheConfig"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/quota": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /** The quota of an organization */
        get: operations["listOrganizationQuota"];
        put?: never;
        /** Give an organization a quota */
        post: operations["createOrganizationQuota"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/quota/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        /** A quota */
        get: operations["getOrganizationQuota"];
        /** Change the size of a quota */
        put: operations["changeOrganizationQuota"];
        post?: never;
        /** Take a quota away */
        delete: operations["deleteOrganizationQuota"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/quota/{id}/limit": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        /** List the limits of a quota */
        get: operations["listOrganizationQuotaLimit"];
        put?: never;
        /** Add a limit to a quota */
        post: operations["createOrganizationQuotaLimit"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/quota/{id}/limit/{limit}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
                /** @description Id of a limit */
                limit: string;
            };
            cookie?: never;
        };
        /** A limit of a quota */
        get: operations["getOrganizationQuotaLimit"];
        /** Change a limit of a quota */
        put: operations["changeOrganizationQuotaLimit"];
        post?: never;
        /** Take a limit away */
        delete: operations["deleteOrganizationQuotaLimit"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/robots": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /** List the organization's robots */
        get: operations["getOrgRobots"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/robots/{short}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        /** A robot with its token */
        get: operations["getOrgRobot"];
        /** Make a robot */
        put: operations["createOrgRobot"];
        post?: never;
        /** Delete a robot */
        delete: operations["deleteOrgRobot"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/robots/{short}/federation": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        /** List the identities of other providers that may act as a robot */
        get: operations["getOrgRobotFederation"];
        put?: never;
        /** Replace the list of identities that may act as a robot */
        post: operations["createOrgRobotFederation"];
        /** Let no identity of another provider act as a robot */
        delete: operations["deleteOrgRobotFederation"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/robots/{short}/permissions": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        /** List the repositories that a robot has a role of its own in, at most 10,000 */
        get: operations["getOrgRobotPermissions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/robots/{short}/regenerate": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Replace a robot's token; the old one ends at once */
        post: operations["regenerateOrgRobotToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/team/{team}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        get?: never;
        /** Make a team or change it */
        put: operations["updateOrganizationTeam"];
        post?: never;
        /** Delete a team */
        delete: operations["deleteOrganizationTeam"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/team/{team}/invite/{email}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
                email: string;
            };
            cookie?: never;
        };
        get?: never;
        /** Invite an address into a team */
        put: operations["inviteTeamMemberEmail"];
        post?: never;
        /** Take an invitation back */
        delete: operations["deleteTeamMemberEmailInvite"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/team/{team}/members": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        /** List a team's members */
        get: operations["getOrganizationTeamMembers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/team/{team}/members/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        get?: never;
        /** Add a member */
        put: operations["updateOrganizationTeamMember"];
        post?: never;
        /** Take a member out of a team */
        delete: operations["deleteOrganizationTeamMember"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/team/{team}/permissions": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        /** List the repositories that a team may use */
        get: operations["getOrganizationTeamPermissions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/team/{team}/syncing": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Have a team follow a group of the service that keeps the users
         * @description With FEATURE_TEAM_SYNCING, by superusers; by every administrator of the
         *     organization with FEATURE_NONSUPERUSER_TEAM_SYNCING_SETUP. LDAP takes
         *     `group_dn`, relative to the base or whole; Keystone `group_id`; OpenID
         *     Connect `group_name`.
         */
        post: operations["enableOrganizationTeamSync"];
        /** Have a team follow no group any more; its members stay */
        delete: operations["disableOrganizationTeamSync"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/organization/{org}/validateproxycache": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Try a proxy cache's configuration
         * @description As the POST of `proxycache`, but nothing is stored.
         */
        post: operations["validateProxyCacheConfig"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/recovery": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Have a mail sent to who forgot the password
         * @description With FEATURE_MAILING. The answer is the same for an address that is nobody's.
         */
        post: operations["requestRecoveryEmail"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/registry/capabilities": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What clients may rely on */
        get: operations["getRegistryCapabilities"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List repositories
         * @description One of namespace, public=true, starred=true and visible=true is required. visible=true, which is Gantry's own, lists what the caller may see in any namespace: their own, that of organizations that they administer, what they or their teams have a role in, and with public=true what is public, too.
         */
        get: operations["listRepos"];
        put?: never;
        /** Make a repository */
        post: operations["createRepo"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/mirror/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How the mirrors of the caller's namespaces are */
        get: operations["getMirrorHealth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /** A repository */
        get: operations["getRepo"];
        /** Describe a repository */
        put: operations["updateRepo"];
        post?: never;
        /** Delete a repository */
        delete: operations["deleteRepository"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/aggregatelogs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * How often what happened in a repository, by day
         * @description For 32 days at most.
         */
        get: operations["getAggregateRepoLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/authorizedemail/{email}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                email: string;
            };
            cookie?: never;
        };
        /** Whether an address agreed to get mail of the repository */
        get: operations["checkRepoEmailAuthorized"];
        put?: never;
        /** Ask an address whether it agrees */
        post: operations["sendAuthorizeRepoEmail"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/autoprunepolicy": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * The auto-prune policies of a repository
         * @description With FEATURE_AUTO_PRUNE.
         */
        get: operations["listRepositoryAutoPrunePolicies"];
        put?: never;
        /**
         * Make an auto-prune policy of a repository
         * @description An equal one is refused.
         */
        post: operations["createRepositoryAutoPrunePolicy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/autoprunepolicy/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** An auto-prune policy of a repository */
        get: operations["getRepositoryAutoPrunePolicy"];
        /** Change an auto-prune policy of a repository */
        put: operations["updateRepositoryAutoPrunePolicy"];
        post?: never;
        /** Delete an auto-prune policy of a repository */
        delete: operations["deleteRepositoryAutoPrunePolicy"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/build": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["getRepoBuilds"];
        put?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        post: operations["requestRepoBuild"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/build/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["getRepoBuild"];
        put?: never;
        post?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        delete: operations["cancelRepoBuild"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/build/{id}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["getRepoBuildLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/build/{id}/status": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["getRepoBuildStatus"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/changestate": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        get?: never;
        /** Open a repository for pushes, or close it */
        put: operations["changeRepoState"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/changetrust": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Not here: Notary v1
         * @deprecated
         * @description Answers 404 to who may call it, as Quay with `FEATURE_SIGNING: false`.
         */
        post: operations["changeRepoTrust"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/changevisibility": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Make a repository public or private */
        post: operations["changeRepoVisibility"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/exportlogs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Have the logs of a repository written to a file
         * @description With FEATURE_LOG_EXPORT. When the file is there, callback_url gets a POST with export_id, start_time, end_time, namespace, repository, exported_data_url and status: success, failed or timedout; or callback_email gets a message.
         */
        post: operations["exportRepoLogs"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/image": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * Not here: images of Docker's first registry
         * @deprecated
         * @description Answers 404 to who may call it: manifests have replaced images.
         */
        get: operations["listRepositoryImages"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/image/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        /**
         * Not here: images of Docker's first registry
         * @deprecated
         * @description Answers 404 to who may call it: manifests have replaced images.
         */
        get: operations["getImage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/image/{id}/security": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        /**
         * Not here: images of Docker's first registry
         * @deprecated
         * @description Answers 404 to who may call it: manifests have replaced images.
         */
        get: operations["getRepoImageSecurity"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/immutabilitypolicy": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * The immutability policies of a repository
         * @description With FEATURE_IMMUTABLE_TAGS.
         */
        get: operations["listRepositoryImmutabilityPolicies"];
        put?: never;
        /**
         * Make an immutability policy of a repository
         * @description An equal one is refused.
         */
        post: operations["createRepositoryImmutabilityPolicy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/immutabilitypolicy/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** An immutability policy of a repository */
        get: operations["getRepositoryImmutabilityPolicy"];
        /** Change an immutability policy of a repository */
        put: operations["updateRepositoryImmutabilityPolicy"];
        post?: never;
        /** Delete an immutability policy of a repository */
        delete: operations["deleteRepositoryImmutabilityPolicy"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /** What happened in a repository */
        get: operations["listRepoLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/manifest/{digest}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                digest: string;
            };
            cookie?: never;
        };
        /** A manifest and its layers */
        get: operations["getRepoManifest"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/manifest/{digest}/labels": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                digest: string;
            };
            cookie?: never;
        };
        /** List the labels of a manifest */
        get: operations["listManifestLabels"];
        put?: never;
        /**
         * Add a label to a manifest
         * @description Keys with a reserved prefix are refused; at most 200 labels can be added.
         */
        post: operations["addManifestLabel"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/manifest/{digest}/labels/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                digest: string;
                id: string;
            };
            cookie?: never;
        };
        /** A label */
        get: operations["getManifestLabel"];
        put?: never;
        post?: never;
        /** Delete a label that was added */
        delete: operations["deleteManifestLabel"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/manifest/{ref}/pull_statistics": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                ref: string;
            };
            cookie?: never;
        };
        /**
         * Not here: statistics of pulls
         * @description Answers 404 to who may call it, as Quay with `FEATURE_IMAGE_PULL_STATS: false`.
         */
        get: operations["getManifestPullStatistics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/manifest/{ref}/security": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                ref: string;
            };
            cookie?: never;
        };
        /**
         * Not here: the security scanner
         * @description Answers 404 to who may call it, as Quay with `FEATURE_SECURITY_SCANNER: false`.
         */
        get: operations["getRepoManifestSecurity"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/mirror": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * The mirror of a repository
         * @description With FEATURE_REPO_MIRROR. Also of a repository that the mirror of its organization made.
         */
        get: operations["getRepoMirrorConfig"];
        /**
         * Change the mirror of a repository
         * @description What is absent stays. Another registry needs external_registry_password again.
         */
        put: operations["changeRepoMirrorConfig"];
        /**
         * Make a repository a mirror
         * @description Its state becomes MIRROR, and the robot may write. external_reference, sync_interval, sync_start_date, root_rule and robot_username are required.
         */
        post: operations["createRepoMirrorConfig"];
        /**
         * End the mirror of a repository
         * @description What was mirrored stays; the state becomes NORMAL. Gantry's own.
         */
        delete: operations["deleteRepoMirrorConfig"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/mirror/plan": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Find out what a run would change
         * @description A run of kind plan, which changes nothing. Gantry's own.
         */
        post: operations["planRepoMirror"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/mirror/runs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * The last runs of the mirror
         * @description Gantry's own.
         */
        get: operations["listRepoMirrorRuns"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/mirror/runs/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /**
         * A run of the mirror
         * @description Gantry's own.
         */
        get: operations["getRepoMirrorRun"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/mirror/runs/{uuid}/tags": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /**
         * What became of each tag in a run
         * @description Gantry's own.
         */
        get: operations["listRepoMirrorRunTags"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/mirror/sync-cancel": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * End the run of the mirror
         * @description 404 where it does not run. There is no next run until somebody asks for one.
         */
        post: operations["syncCancel"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/mirror/sync-now": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Run the mirror now
         * @description 404 while it runs.
         */
        post: operations["syncNow"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/mirror/verify": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Ask the other registry whether the repository can be mirrored
         * @description With what the body says, or else with what is stored. Gantry's own.
         */
        post: operations["verifyRepoMirror"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/notification": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /** The notifications of a repository */
        get: operations["listRepoNotifications"];
        put?: never;
        /** Have somebody told of events of a repository */
        post: operations["createRepoNotification"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/notification/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** A notification */
        get: operations["getRepoNotification"];
        put?: never;
        /** Forget its failures, which enables it again */
        post: operations["resetRepoNotificationFailures"];
        /** Delete a notification, with what waits for it */
        delete: operations["deleteRepoNotification"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/notification/{uuid}/failed": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** What was given up, the newest first (Gantry's own) */
        get: operations["listRepoFailedDeliveries"];
        put?: never;
        /** Deliver again what was given up (Gantry's own) */
        post: operations["resendRepoFailedDeliveries"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/notification/{uuid}/test": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Deliver a sample, also if it is disabled */
        post: operations["testRepoNotification"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/permissions/team": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /** List the teams with a permission */
        get: operations["listRepoTeamPermissions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/permissions/team/{team}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        /** The permission of a team */
        get: operations["getTeamPermissions"];
        /** Give a team a role */
        put: operations["changeTeamPermissions"];
        post?: never;
        /** Take the permission of a team away */
        delete: operations["deleteTeamPermissions"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/permissions/user": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /** List the users with a permission */
        get: operations["listRepoUserPermissions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/permissions/user/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        /** The permission of a user */
        get: operations["getUserPermissions"];
        /** Give a user a role */
        put: operations["changeUserPermissions"];
        post?: never;
        /** Take the permission of a user away */
        delete: operations["deleteUserPermissions"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/permissions/user/{name}/transitive": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        /** The roles that a user has through teams */
        get: operations["getUserTransitivePermission"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/signatures": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * Not here: Notary v1
         * @deprecated
         * @description Answers 404 to who may call it, as Quay with `FEATURE_SIGNING: false`.
         */
        get: operations["getRepoSignatures"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/tag": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * List tags, the newest first
         * @description Without onlyActiveTags this is the history: every span of a tag's life,
         *     the newest first. Pages are counted from 1; read on while
         *     has_additional is true. A page may be shorter than limit.
         *
         *     Gantry's own: with next_page, includeImage, architecture or signed,
         *     pages are turned by next_page, at the same cost at any depth, and page
         *     is always 1. One such page looks at 1,000 images and 20,000 names at
         *     most: it may be empty while there is a next_page.
         */
        get: operations["listRepoTags"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/tag/{tag}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        get?: never;
        /**
         * Make or move a tag, set its end, make it immutable
         * @description All that is given is done, or nothing. Who may write to the repository
         *     may make a tag immutable; only who administers it may undo that.
         */
        put: operations["changeTag"];
        post?: never;
        /**
         * Delete a tag
         * @description It can be restored as long as the time machine of the namespace reaches back.
         */
        delete: operations["deleteFullTag"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/tag/{tag}/expire": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Delete a tag, or a part of its history, for good
         * @description Only with PERMANENTLY_DELETE_TAGS. What nothing else needs is collected
         *     at once, with the manifests of an index: include_submanifests makes no
         *     difference.
         */
        post: operations["removeTagFromTimemachine"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/tag/{tag}/images": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        /**
         * Not here: images of Docker's first registry
         * @deprecated
         * @description Answers 404 to who may call it: manifests have replaced images.
         */
        get: operations["listTagImages"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/tag/{tag}/pull_statistics": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        /**
         * Not here: statistics of pulls
         * @description Answers 404 to who may call it, as Quay with `FEATURE_IMAGE_PULL_STATS: false`.
         */
        get: operations["getTagPullStatistics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/tag/{tag}/restore": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Point a tag at a manifest of its history again */
        post: operations["restoreTag"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/tokens": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * Gone: access tokens of a repository
         * @deprecated
         * @description Answers 410 to who may call it; robots have replaced them.
         */
        get: operations["listRepoTokens"];
        put?: never;
        /**
         * Gone: access tokens of a repository
         * @deprecated
         * @description Answers 410 to who may call it; robots have replaced them.
         */
        post: operations["createToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/tokens/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        /**
         * Gone: access tokens of a repository
         * @deprecated
         * @description Answers 410 to who may call it; robots have replaced them.
         */
        get: operations["getTokens"];
        /**
         * Gone: access tokens of a repository
         * @deprecated
         * @description Answers 410 to who may call it; robots have replaced them.
         */
        put: operations["changeToken"];
        post?: never;
        /**
         * Gone: access tokens of a repository
         * @deprecated
         * @description Answers 410 to who may call it; robots have replaced them.
         */
        delete: operations["deleteToken"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["listBuildTriggers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["getBuildTrigger"];
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        put: operations["updateBuildTrigger"];
        post?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        delete: operations["deleteBuildTrigger"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger/{uuid}/activate": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        post: operations["activateBuildTrigger"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger/{uuid}/analyze": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        post: operations["analyzeBuildTrigger"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger/{uuid}/builds": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["listTriggerRecentBuilds"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger/{uuid}/fields/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
                name: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        post: operations["listTriggerFieldValues"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger/{uuid}/namespaces": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["listTriggerBuildSourceNamespaces"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger/{uuid}/sources": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        post: operations["listTriggerBuildSources"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger/{uuid}/start": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        post: operations["manuallyStartBuildTrigger"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/repository/{repo}/trigger/{uuid}/subdir": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        post: operations["listBuildTriggerSubdirs"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/signin": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sign in with a password */
        post: operations["signinUser"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/signin/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Give the password again, for what needs a fresh login */
        post: operations["verifyUser"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/signout": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sign out */
        post: operations["logout"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/aggregatelogs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How often what happened in the whole registry, by day
         * @description For 32 days at most.
         */
        get: operations["listAggregateLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/approvedkeys/{kid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                kid: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Approve a service key that a service has submitted */
        post: operations["approveServiceKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/apptokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the app tokens of all users, without their secrets */
        get: operations["listAllAppTokens"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/changelog": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What is new in this release */
        get: operations["getChangeLog"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/config": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The configuration in effect, its secrets masked
         * @description With FEATURE_SUPERUSER_CONFIGDUMP.
         */
        get: operations["getConfig"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What is done in the background, the newest first
         * @description Of all instances. Jobs that ended are kept for a week. Gantry's own.
         */
        get: operations["listJobs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/jobs/{job}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The number of a job */
                job: components["parameters"]["job"];
            };
            cookie?: never;
        };
        /** A job */
        get: operations["getJob"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/jobs/{job}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The number of a job */
                job: components["parameters"]["job"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * End a job that has not ended
         * @description A worker that runs it stops within a third of a minute. A job that a schedule makes comes again at its next turn.
         */
        post: operations["cancelJob"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/jobs/{job}/retry": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The number of a job */
                job: components["parameters"]["job"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Run a job again that failed or was cancelled
         * @description It goes on from where it was. 409 where an equal one waits or runs.
         */
        post: operations["retryJob"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the service keys, at most 10,000 */
        get: operations["listServiceKeys"];
        put?: never;
        /**
         * Make a service key
         * @description A key of the service of `INSTANCE_SERVICE_KEY_SERVICE` signs tokens that this registry believes: guard its private half.
         */
        post: operations["createServiceKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/keys/{kid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                kid: string;
            };
            cookie?: never;
        };
        /** A service key */
        get: operations["getServiceKey"];
        /** Change a service key; what is not given stays */
        put: operations["updateServiceKey"];
        post?: never;
        /** Delete a service key; what it signed is refused */
        delete: operations["deleteServiceKey"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What happened in the whole registry */
        get: operations["listAllLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/mirror/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How all mirrors are */
        get: operations["getSuperUserMirrorHealth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/organization/{org}/quota": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        /** The quota of any namespace */
        get: operations["listOrganizationQuotaSuperUser"];
        put?: never;
        /** Give any namespace a quota */
        post: operations["createOrganizationQuotaSuperUser"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/organization/{org}/quota/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        get?: never;
        /** Change the size of a quota */
        put: operations["changeOrganizationQuotaSuperUser"];
        post?: never;
        /** Take a quota away */
        delete: operations["deleteOrganizationQuotaSuperUser"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/organizations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the organizations of the registry */
        get: operations["listAllOrganizations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/organizations/{org}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        get?: never;
        /** Rename an organization or change its address */
        put: operations["changeOrganization"];
        post?: never;
        /** Delete an organization */
        delete: operations["deleteOrganization"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/registrysize": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What all blobs have together */
        get: operations["getRegistrySize"];
        put?: never;
        /** Count again */
        post: operations["queueRegistrySizeCalculation"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/registrystatus": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether the registry is set up */
        get: operations["getRegistryStatus"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/storage": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The storage locations, and how far each is behind */
        get: operations["listStorageLocations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/storage/locations/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        /** A storage location, and the copies that have waited for longest */
        get: operations["getStorageLocation"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/storage/namespaces/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        /** Where a namespace has its blobs kept */
        get: operations["getNamespaceStorage"];
        /**
         * Change where a namespace has its blobs kept
         * @description What was pushed before is copied in the background. What is at a location that is excluded now stays there.
         */
        put: operations["changeNamespaceStorage"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/takeownership/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Become an administrator of a namespace; a user's becomes an organization */
        post: operations["takeOwnership"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the users of the registry */
        get: operations["listAllUsers"];
        put?: never;
        /** Make a user with a password that nobody chose */
        post: operations["createInstallUser"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/users/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        /** A user */
        get: operations["getInstallUser"];
        /** Change a user who is no superuser */
        put: operations["changeInstallUser"];
        post?: never;
        /** Delete a user who is no superuser */
        delete: operations["deleteInstallUser"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/users/{name}/quota": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        /** The quota of any namespace */
        get: operations["listUserQuotaSuperUser"];
        put?: never;
        /** Give any namespace a quota */
        post: operations["createUserQuotaSuperUser"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/users/{name}/quota/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        get?: never;
        /** Change the size of a quota */
        put: operations["changeUserQuotaSuperUser"];
        post?: never;
        /** Take a quota away */
        delete: operations["deleteUserQuotaSuperUser"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/{id}/build": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["getRepoBuildSuperUser"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/{id}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["getRepoBuildLogsSuperUser"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/{id}/logs/archive": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["getRepoBuildLogArchiveSuperUser"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superuser/{id}/status": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        /**
         * Not here: builds
         * @description Answers 404 to who may call it, as Quay with `FEATURE_BUILD_SUPPORT: false`.
         */
        get: operations["getRepoBuildStatusSuperUser"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/superusers/users/{name}/sendrecovery": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Send a user a mail to recover the account */
        post: operations["sendInstallUserRecoveryEmail"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/teaminvite/{code}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                code: string;
            };
            cookie?: never;
        };
        get?: never;
        /** Join the team that the caller is invited into */
        put: operations["acceptOrganizationTeamInvite"];
        post?: never;
        /** Decline an invitation */
        delete: operations["declineOrganizationTeamInvite"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The caller */
        get: operations["getLoggedInUser"];
        /**
         * Change the caller's account; what is not given stays
         * @description Another password ends all other sessions. A name can be changed with
         *     FEATURE_USER_RENAME; the robots are renamed with it. The last four need
         *     FEATURE_USER_METADATA.
         */
        put: operations["changeUserDetails"];
        /**
         * Sign up
         * @description With FEATURE_USER_CREATION and FEATURE_DIRECT_LOGIN.
         */
        post: operations["createNewUser"];
        /**
         * Delete the caller's account with everything in its namespace
         * @description Not while it is the only administrator of an organization.
         */
        delete: operations["deleteCurrentUser"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/aggregatelogs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How often what happened in the caller's namespace, by day
         * @description For 32 days at most.
         */
        get: operations["getAggregateUserLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/apptoken": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the caller's app tokens, without their secrets */
        get: operations["listAppTokens"];
        put?: never;
        /** Make an app token */
        post: operations["createAppToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/apptoken/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** An app token with its secret */
        get: operations["getAppToken"];
        put?: never;
        post?: never;
        /** Revoke an app token */
        delete: operations["revokeAppToken"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/assignedauthorization": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the OAuth tokens that somebody asks the caller to make for an application
         * @description To agree, open `/oauth/authorize` with what an entry says and `assignment_uuid`.
         */
        get: operations["listAssignedAuthorizations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/assignedauthorization/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Refuse an assignment */
        delete: operations["deleteAssignedAuthorization"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/authorizations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the OAuth tokens that act as the caller */
        get: operations["listUserAuthorizations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/authorizations/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** An authorization */
        get: operations["getUserAuthorization"];
        put?: never;
        post?: never;
        /** End an authorization; its token ends at once */
        delete: operations["deleteUserAuthorization"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/autoprunepolicy": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The auto-prune policies of the caller
         * @description With FEATURE_AUTO_PRUNE.
         */
        get: operations["listUserAutoPrunePolicies"];
        put?: never;
        /**
         * Make an auto-prune policy of the caller
         * @description An equal one is refused.
         */
        post: operations["createUserAutoPrunePolicy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/autoprunepolicy/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** An auto-prune policy of the caller */
        get: operations["getUserAutoPrunePolicy"];
        /** Change an auto-prune policy of the caller */
        put: operations["updateUserAutoPrunePolicy"];
        post?: never;
        /** Delete an auto-prune policy of the caller */
        delete: operations["deleteUserAutoPrunePolicy"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/clientkey": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Encrypt the password, for configuration files of clients */
        post: operations["generateUserClientKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/convert": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Make an organization of the caller
         * @description Another user, whose password is given, owns it then. The caller's
         *     repositories and robots stay; its password, tokens, teams and
         *     permissions go.
         */
        post: operations["convertUserToOrganization"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/exportlogs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Have the logs of the caller written to a file
         * @description With FEATURE_LOG_EXPORT. When the file is there, callback_url gets a POST with export_id, start_time, end_time, namespace, repository, exported_data_url and status: success, failed or timedout; or callback_email gets a message.
         */
        post: operations["exportUserLogs"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/initialize": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Make the first account of an empty registry
         * @description With FEATURE_USER_INITIALIZE. Where no superusers are configured, the account is one.
         */
        post: operations["initialize"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What happened in the caller's namespace */
        get: operations["listUserLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/namespacenotifications": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The notifications of the caller's namespace */
        get: operations["listNamespaceNotifications"];
        put?: never;
        /** Have somebody told of events of the caller's namespace */
        post: operations["createNamespaceNotification"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/namespacenotifications/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** A notification */
        get: operations["getNamespaceNotification"];
        put?: never;
        /** Forget its failures, which enables it again */
        post: operations["resetNamespaceNotificationFailures"];
        /** Delete a notification, with what waits for it */
        delete: operations["deleteNamespaceNotification"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/namespacenotifications/{uuid}/failed": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** What was given up, the newest first (Gantry's own) */
        get: operations["listNamespaceFailedDeliveries"];
        put?: never;
        /** Deliver again what was given up (Gantry's own) */
        post: operations["resendNamespaceFailedDeliveries"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/namespacenotifications/{uuid}/test": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Deliver a sample, also if it is disabled */
        post: operations["testNamespaceNotification"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/notifications": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The inbox: what was not dismissed, the newest first */
        get: operations["listUserNotifications"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/notifications/{uuid}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        /** A notice in the inbox */
        get: operations["getUserNotification"];
        /** Dismiss a notice, or put it back */
        put: operations["updateUserNotification"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/quota": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The quota of the caller */
        get: operations["listUserQuota"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/quota/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        /** A quota */
        get: operations["getUserQuota"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/quota/{id}/limit": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        /** List the limits of a quota */
        get: operations["listUserQuotaLimit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/quota/{id}/limit/{limit}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of a quota */
                id: string;
                /** @description Id of a limit */
                limit: string;
            };
            cookie?: never;
        };
        /** A limit of a quota */
        get: operations["getUserQuotaLimit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/robots": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the caller's robots */
        get: operations["getUserRobots"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/robots/{short}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        /** A robot with its token */
        get: operations["getUserRobot"];
        /** Make a robot */
        put: operations["createUserRobot"];
        post?: never;
        /** Delete a robot */
        delete: operations["deleteUserRobot"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/robots/{short}/federation": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        /** List the identities of other providers that may act as a robot */
        get: operations["getUserRobotFederation"];
        put?: never;
        /** Replace the list of identities that may act as a robot */
        post: operations["createUserRobotFederation"];
        /** Let no identity of another provider act as a robot */
        delete: operations["deleteUserRobotFederation"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/robots/{short}/permissions": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        /** List the repositories that a robot has a role of its own in, at most 10,000 */
        get: operations["getUserRobotPermissions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/robots/{short}/regenerate": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Replace a robot's token; the old one ends at once */
        post: operations["regenerateUserRobotToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/starred": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the repositories that the caller has marked
         * @description Those that the caller can still read.
         */
        get: operations["listStarredRepos"];
        put?: never;
        /** Mark a repository */
        post: operations["createStar"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/user/starred/{repo}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Take a mark away; that there was none is no error */
        delete: operations["deleteStar"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/users/{username}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                username: string;
            };
            cookie?: never;
        };
        /** What everybody who has signed in may know of a user */
        get: operations["getUserInformation"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        AccountPermission: {
            avatar: components["schemas"]["Avatar"];
            is_org_member?: boolean;
            is_robot: boolean;
            name: string;
            role: components["schemas"]["Role"];
        };
        AppToken: {
            created: components["schemas"]["Date"];
            expiration: components["schemas"]["Date"];
            last_accessed: components["schemas"]["Date"];
            title: string;
            token_code?: string;
            uuid: string;
        };
        AppTokenAnswer: {
            token: components["schemas"]["AppToken"] & Record<string, never>;
        };
        Application: {
            application_uri: string;
            avatar_email: string | null;
            client_id: string;
            /** @description Administrators see it */
            client_secret?: string;
            description: string;
            name: string;
            redirect_uri: string;
        };
        ApplicationChange: {
            application_uri?: string | null;
            avatar_email?: string | null;
            description?: string | null;
            name: string;
            redirect_uri?: string | null;
        };
        ApplicationToken: {
            created: components["schemas"]["Date"];
            /** @description The user as whom it acts */
            created_by: string;
            expires_at: components["schemas"]["Date"];
            last_accessed: components["schemas"]["Date"];
            name: string;
            scope: string;
            token?: string;
            uuid: string;
        };
        ArtifactDocument: {
            /** @description Of the file, without its folder */
            name: string;
            text: string;
            /** @description There is more of it than 256 KiB, which are told */
            truncated: boolean;
        };
        AssignedAuthorization: {
            application: Record<string, never>;
            redirectUri: string;
            /** @enum {unknown} */
            responseType: "code" | "token";
            scopes: Record<string, never>[];
            uuid: string;
        };
        Authorization: {
            application: {
                avatar: components["schemas"]["Avatar"];
                /** @description Empty for a token without an application: of the command line, or the first of the registry */
                clientId: string;
                description: string;
                name: string;
                organization: {
                    avatar: components["schemas"]["Avatar"];
                    name: string;
                } | null;
                url: string;
            };
            scopes: {
                dangerous: boolean;
                description: string;
                scope: string;
                title: string;
            }[];
            uuid: string;
        };
        Avatar: {
            color: string;
            hash: string;
            /** @enum {unknown} */
            kind: "user" | "robot" | "org" | "team" | "app";
            name: string;
        };
        Collaborator: {
            avatar: components["schemas"]["Avatar"];
            /** @constant */
            kind: "user";
            name: string;
            /** @description Names of those with a permission of the user's own */
            repositories: string[];
        };
        /**
         * @description RFC 2822
         * @example Tue, 05 Jan 2021 00:00:00 +0000
         */
        Date: string | null;
        Entity: {
            avatar: components["schemas"]["Avatar"];
            is_org_member?: boolean;
            is_robot?: boolean;
            /** @enum {unknown} */
            kind: "user" | "team" | "org" | "external";
            name: string;
            /** @description Of kind external: the mail address */
            title?: string;
        };
        Error: {
            /** @description For people: what is wrong and what to do */
            detail: string;
            /** @description The same as detail */
            error_message: string;
            /** @example invalid_request */
            error_type: string;
            is_readonly?: boolean;
            /** @description The same as detail */
            message?: string;
            session_required?: boolean;
            status: number;
            title: string;
            /**
             * Format: uri
             * @description Where the type is explained: error/{error_type}
             */
            type: string;
        };
        FailedDelivery: {
            attempts: number;
            created: components["schemas"]["Date"];
            error: string;
            /** @description What it tells */
            event: Record<string, never>;
            id: number;
        };
        FoundName: {
            avatar: components["schemas"]["Avatar"];
            href: string;
            /** @enum {unknown} */
            kind: "user" | "organization" | "robot" | "team";
            name: string;
            organization?: components["schemas"]["FoundName"];
            score: number;
            title: string;
        };
        FoundRepository: {
            description: string;
            href: string;
            is_public: boolean;
            /** @constant */
            kind: "repository";
            /** @description Not known here; see the tags */
            last_modified?: null;
            name: string;
            namespace: components["schemas"]["FoundName"];
            /** @description The number of stars */
            popularity?: number;
            score: number;
            stars?: number;
            /** @constant */
            title: "repo";
        };
        GlobalMessage: {
            content: string;
            /** @enum {unknown} */
            media_type: "text/plain" | "text/markdown";
            /** @enum {unknown} */
            severity: "info" | "warning" | "error";
            uuid: string;
        };
        ImmutabilityPolicy: {
            /** @description Tags become immutable that this regular expression matches from their beginning */
            tagPattern: string;
            /** @description false: those that it does not match */
            tagPatternMatches: boolean;
            uuid: string;
        };
        ImmutabilityPolicyChange: {
            /** @description A regular expression of RE2 */
            tagPattern: string;
            /** @default true */
            tagPatternMatches: boolean | null;
        };
        Job: {
            /** @description 1 in the first run */
            attempt: number;
            /** Format: date-time */
            created: string | null;
            done: number;
            /**
             * Format: date-time
             * @description Of one that waits: not before this time
             */
            due: string | null;
            /** Format: date-time */
            ended: string | null;
            /** @description Of the last attempt that failed */
            error: string | null;
            /** @description The instance that runs it, or ran it last */
            holder: string | null;
            id: number;
            /** @description What it is about; jobs of one kind and key do not run twice at once. null once it ended */
            key: string | null;
            kind: string;
            max_attempts: number;
            /**
             * Format: date-time
             * @description Of the last attempt
             */
            started: string | null;
            /** @enum {string} */
            state: "ready" | "running" | "done" | "failed" | "cancelled";
            /** @description 0: not known */
            total: number;
            /** @description Of done and total */
            unit: string;
        };
        Label: {
            id: string;
            key: string;
            /** @enum {unknown} */
            media_type: "text/plain" | "application/json";
            /**
             * @description manifest: the image was pushed with it
             * @enum {unknown}
             */
            source_type: "manifest" | "api" | "internal";
            value: string;
        };
        Layer: {
            author: string | null;
            blob_digest: string;
            command: string[] | null;
            comment: string | null;
            compressed_size: number;
            created_datetime: components["schemas"]["Date"];
            /** @description 0 is the base */
            index: number;
            is_remote: boolean;
            urls: string[] | null;
        };
        Log: {
            datetime: components["schemas"]["Date"];
            /** @description The same in every list and in the live events, and another for every entry */
            id: string;
            ip: string | null;
            /** @example push_repo */
            kind: string;
            /** @description As the kind has it */
            metadata: Record<string, never>;
            namespace?: components["schemas"]["Entity"];
            performer?: components["schemas"]["Entity"];
        };
        LogCounts: {
            aggregated: {
                count: number;
                datetime: components["schemas"]["Date"];
                kind: string;
            }[];
        };
        LogExportRequest: {
            callback_email?: string | null;
            /** @description Where to POST that the file is there; one of the two is required */
            callback_url?: string | null;
        };
        Logs: {
            end_time: components["schemas"]["Date"];
            logs: components["schemas"]["Log"][];
            next_page?: string;
            start_time: components["schemas"]["Date"];
        };
        Manifest: {
            /** @description Of an image, or what an artifact has in its place, such as a chart's Chart.yaml; null where there is none, or it is no JSON */
            config?: Record<string, never> | null;
            config_media_type: string | null;
            digest: string;
            /** @description Of a chart its Chart.yaml, README, values.yaml and values.schema.json; of other artifacts the README or model card. Layers of more than 16 MiB are not read */
            documents?: components["schemas"]["ArtifactDocument"][];
            is_manifest_list: boolean;
            layers: components["schemas"]["Layer"][] | null;
            layers_compressed_size: number | null;
            /** @description the manifest as it was pushed */
            manifest_data: string;
            referrers?: components["schemas"]["Referrer"][];
        };
        Me: {
            /** @constant */
            anonymous: false;
            avatar: components["schemas"]["Avatar"];
            can_create_repo: boolean;
            company: string | null;
            email: string;
            family_name: string | null;
            given_name: string | null;
            global_readonly_super_user?: boolean;
            has_password_set: boolean;
            invoice_email: boolean;
            invoice_email_address: string | null;
            is_free_account: boolean;
            is_me: boolean;
            location: string | null;
            /** @description Who the caller is at services outside */
            logins: {
                metadata: {
                    [key: string]: string;
                };
                service: string;
                service_identifier: string;
            }[];
            organizations: {
                avatar: components["schemas"]["Avatar"];
                can_create_repo: boolean;
                is_org_admin: boolean;
                name: string;
                preferred_namespace: boolean;
                public: boolean;
            }[];
            preferred_namespace: boolean;
            prompts: string[];
            quota_report?: components["schemas"]["QuotaReport"];
            /** @description With FEATURE_QUOTA_MANAGEMENT */
            quotas?: components["schemas"]["Quota"][];
            super_user?: boolean;
            /** @description Seconds that the time machine keeps what was deleted */
            tag_expiration_s: number;
            username: string;
            verified: boolean;
        };
        Member: components["schemas"]["Collaborator"] & {
            teams: components["schemas"]["TeamAvatar"][];
        };
        Message: {
            message: string;
        };
        MirrorHealth: {
            healthy: boolean;
            issues: {
                message?: string;
                severity?: string;
                timestamp?: string | null;
            }[];
            last_check: string | null;
            repositories: {
                completed?: number;
                details?: Record<string, never>[];
                failed?: number;
                never_run?: number;
                pagination?: Record<string, never>;
                syncing?: number;
                total?: number;
                waiting?: number;
            };
            tags_pending: number;
            workers: {
                active?: number;
                configured?: number;
                status?: string;
            };
        };
        MirrorOutcome: {
            bytes: number;
            manifest_digest: string | null;
            message: string | null;
            outcome: string;
            tag: string;
        };
        MirrorProxy: {
            http_proxy?: string | null;
            https_proxy?: string | null;
            no_proxy?: string | null;
        };
        MirrorRegistryConfig: {
            /** @description tags that are gone upstream stay */
            keep_removed_tags?: boolean;
            /** @description only images that carry a signature; whose it is, is not checked */
            only_signed?: boolean;
            proxy?: components["schemas"]["MirrorProxy"];
            /** @description signatures, attestations and the like come with their images; true unless told */
            referrers?: boolean;
            /** @description kept for Quay's clients; only_signed decides */
            unsigned_images?: boolean;
            /** @description false takes any certificate, and plain http */
            verify_tls?: boolean;
        };
        /** @description globs, and: !glob, semver:RANGE, newest:N */
        MirrorRule: {
            /** @enum {string} */
            rule_kind?: "tag_glob_csv";
            rule_value?: string[];
        };
        MirrorRun: {
            blobs: {
                fetched?: number;
                /** @description they were here already, in another repository */
                linked?: number;
            };
            /** @description that came from the other registry */
            bytes: number;
            bytes_per_second: number;
            ended: string | null;
            eta_seconds: number | null;
            id: string;
            /** @enum {string} */
            kind: "sync" | "plan";
            message: string | null;
            /** @description one word, of a failure */
            reason?: string | null;
            started: string | null;
            /** @enum {string} */
            status: "running" | "success" | "failed" | "cancelled";
            tags: {
                copied?: number;
                done?: number;
                failed?: number;
                removed?: number;
                skipped?: number;
                total?: number;
                unchanged?: number;
            };
        };
        /** @enum {string} */
        MirrorStatus: "NEVER_RUN" | "SUCCESS" | "FAIL" | "SYNCING" | "SYNC_NOW" | "CANCEL" | "SKIP";
        MirrorVerified: {
            message: string;
            success: boolean;
        };
        NamespacePermissions: {
            permissions: {
                repository: {
                    is_public: boolean;
                    name: string;
                };
                role: components["schemas"]["Role"];
            }[];
        };
        NamespaceStorage: {
            excluded: string[];
            /** @description Besides the default ones */
            locations: string[];
            namespace: string;
        };
        NewNotification: {
            /** @description Of the method: {target: {kind, name}}, {email}, {url, template}, {url}, {flow_api_token}, {notification_token, room_id} */
            config: Record<string, never>;
            /** @description Of a repository: repo_push, repo_image_expiry, build_*, vulnerability_found, repo_mirror_sync_*. Of a namespace: quota_warning, quota_error */
            event: string;
            /** @description Of the event: {days}, {level}, {ref-regex} or nothing */
            eventConfig: Record<string, never>;
            /** @enum {unknown} */
            method: "quay_notification" | "email" | "webhook" | "slack" | "teams" | "flowdock" | "hipchat" | "cloudevents";
            title?: string | null;
        };
        Notice: {
            created: components["schemas"]["Date"];
            dismissed: boolean;
            id: string;
            kind: string;
            metadata: Record<string, never>;
            organization: string | null;
        };
        Notification: {
            /** @description Empty for who may only read */
            config: Record<string, never>;
            /** @description Nothing is sent until it is reset */
            disabled: boolean;
            event: string;
            event_config: Record<string, never>;
            /** @description Deliveries that were given up and are kept */
            failed: number;
            /** @description Of the last try, if that failed */
            last_error: string | null;
            last_failure: components["schemas"]["Date"];
            last_success: components["schemas"]["Date"];
            method: string;
            /** @description Deliveries that were given up in a row; with 3 it is disabled */
            number_of_failures: number;
            title: string | null;
            uuid: string;
            /** @description Deliveries that wait for their turn */
            waiting: number;
        };
        OrgMirror: {
            architecture_filter?: string[];
            creation_date?: string | null;
            delete_stale_repos?: boolean;
            external_namespace: string;
            external_registry_config?: components["schemas"]["MirrorRegistryConfig"];
            external_registry_type: string;
            external_registry_url: string;
            external_registry_username?: string | null;
            is_enabled: boolean;
            last_sync_date?: string | null;
            next_sync_date?: string | null;
            repository_filters: string[];
            robot_username: string | null;
            root_rule?: components["schemas"]["MirrorRule"];
            skopeo_timeout?: number;
            status_message?: string | null;
            sync_expiration_date?: string | null;
            sync_interval: number;
            sync_retries_remaining?: number;
            sync_start_date: string | null;
            sync_status: components["schemas"]["MirrorStatus"];
            visibility: string;
        };
        OrgMirrorChange: {
            architecture_filter?: string[];
            /** @description delete repositories here that are gone upstream */
            delete_stale_repos?: boolean;
            /** @example acme */
            external_namespace?: string;
            external_registry_config?: components["schemas"]["MirrorRegistryConfig"];
            external_registry_password?: string | null;
            /**
             * @description quay (also gantry), harbor, dockerhub, gitlab, or catalog for any other
             * @example quay
             */
            external_registry_type?: string;
            /** @example https://quay.io */
            external_registry_url?: string;
            external_registry_username?: string | null;
            is_enabled?: boolean;
            /** @description globs; none is all */
            repository_filters?: string[];
            /** @example acme+mirror */
            robot_username?: string;
            root_rule?: components["schemas"]["MirrorRule"];
            /** @description seconds, 30 to 3600 */
            skopeo_timeout?: number;
            /**
             * @description seconds, at least 60
             * @example 3600
             */
            sync_interval?: number;
            /** @example 2026-01-01T00:00:00Z */
            sync_start_date?: string;
            /** @enum {string} */
            visibility?: "public" | "private";
        };
        OrgMirrorRepo: {
            discovery_date: string | null;
            last_sync_date: string | null;
            name: string;
            quay_repository: string | null;
            status_message: string | null;
            sync_status: components["schemas"]["MirrorStatus"];
        };
        Organization: {
            avatar: components["schemas"]["Avatar"];
            contact_email?: string | null;
            email: string;
            invoice_email?: boolean;
            invoice_email_address?: string | null;
            is_admin: boolean;
            is_free_account?: boolean;
            is_member: boolean;
            name: string;
            ordered_teams?: string[];
            quota_report?: components["schemas"]["QuotaReport"];
            /** @description With FEATURE_QUOTA_MANAGEMENT */
            quotas?: components["schemas"]["Quota"][];
            tag_expiration_s?: number;
            teams?: {
                [key: string]: components["schemas"]["Team"];
            };
        };
        PolicyId: {
            uuid: string;
        };
        Prototype: {
            activating_user: components["schemas"]["Entity"] | null;
            delegate: components["schemas"]["Entity"];
            id: string;
            role: components["schemas"]["Role"];
        };
        ProxyCache: {
            /** @description Seconds since the last pull after which something is forgotten, or an empty string */
            expiration_s: number | "";
            /** @description Plain http, or an empty string */
            insecure: boolean | "";
            /** @description A registry, perhaps with the beginning of its repositories' paths: `docker.io/library` */
            upstream_registry: string;
        };
        ProxyCacheChange: {
            /** @description 86400 if it is not there */
            expiration_s?: number | null;
            insecure?: boolean;
            /** @description Ignored */
            org_name?: string;
            upstream_registry: string;
            upstream_registry_password?: string | null;
            upstream_registry_username?: string | null;
        };
        ProxyCacheUpdate: {
            expiration_s?: number | null;
            insecure?: boolean | null;
            /** @description Ignored */
            org_name?: string;
            upstream_registry?: string;
            upstream_registry_password?: string | null;
            upstream_registry_username?: string | null;
        };
        PrunePolicy: {
            /** @enum {string} */
            method: "number_of_tags" | "creation_date";
            /** @description The policy is about tags that this regular expression matches anywhere; null = all */
            tagPattern: string | null;
            /** @description false: about those that it does not match */
            tagPatternMatches: boolean;
            uuid: string;
            /** @description How many tags stay, or how old they may be, such as 7d */
            value: number | string;
        };
        PrunePolicyChange: {
            /** @enum {string} */
            method: "number_of_tags" | "creation_date";
            /** @description A regular expression of RE2 */
            tagPattern?: string | null;
            /** @default true */
            tagPatternMatches: boolean | null;
            /** @description A whole number of at least 1; or a number and one of s, m, h, d, w */
            value: number | string;
        };
        /** @description How much a namespace may store. The default one, which is of the configuration, refuses at 100 percent; another one where its limits say so. */
        Quota: {
            /** @description Whether this is the default quota */
            default_config: boolean;
            default_config_exists: boolean;
            /** @description null for the default quota */
            id: number | null;
            /** @example 10 GiB */
            limit: string;
            limit_bytes: number;
            limits: components["schemas"]["QuotaLimit"][];
        };
        QuotaLimit: {
            id: number;
            limit_percent: number;
            /** @enum {unknown} */
            type: "Warning" | "Reject";
        };
        QuotaLimitChange: {
            threshold_percent: number;
            /** @enum {unknown} */
            type: "Warning" | "Reject";
        };
        QuotaReport: {
            /** @enum {unknown} */
            backfill_status?: "waiting" | "running" | "complete";
            /** @description Bytes, the default among them; null for none */
            configured_quota: number | null;
            /** @description What is stored, each blob once */
            quota_bytes: number;
            running_backfill?: boolean;
        };
        QuotaSize: {
            /**
             * @description A number and a unit; GiB counts in powers of 1024, GB in powers of 1000
             * @example 10GiB
             */
            limit?: string;
            /** @description Without limit */
            limit_bytes?: number;
        } | unknown | unknown;
        Referrer: {
            annotations?: {
                [key: string]: string;
            };
            artifactType?: string;
            digest: string;
            mediaType: string;
            /** @description Bytes of the manifest */
            size: number;
        };
        RegistryOrganization: {
            avatar: components["schemas"]["Avatar"];
            email: string;
            name: string;
            quota_report?: components["schemas"]["QuotaReport"];
            /** @description With FEATURE_QUOTA_MANAGEMENT */
            quotas?: components["schemas"]["Quota"][];
        };
        RegistryUser: {
            avatar: components["schemas"]["Avatar"];
            email: string;
            enabled: boolean;
            global_readonly_super_user: boolean;
            /** @constant */
            kind: "user";
            name: string;
            quota_report?: components["schemas"]["QuotaReport"];
            /** @description With FEATURE_QUOTA_MANAGEMENT */
            quotas?: components["schemas"]["Quota"][];
            super_user: boolean;
            username: string;
            verified: boolean;
        };
        RepoMirror: {
            architecture_filter: string[];
            external_reference: string;
            external_registry_config: components["schemas"]["MirrorRegistryConfig"];
            external_registry_username: string | null;
            is_enabled: boolean;
            last_sync_date?: string | null;
            /** @enum {string} */
            mirror_type: "PULL";
            next_sync_date?: string | null;
            /** @description the mirror of the organization made it */
            organization_mirror?: boolean;
            robot_username: string | null;
            root_rule: components["schemas"]["MirrorRule"];
            /** @description seconds */
            skopeo_timeout_interval: number;
            status_message?: string | null;
            sync_expiration_date: string | null;
            /** @description seconds */
            sync_interval: number;
            sync_retries_remaining: number;
            sync_start_date: string | null;
            sync_status: components["schemas"]["MirrorStatus"];
        };
        RepoMirrorChange: {
            architecture_filter?: string[];
            /** @example registry.example/acme/app */
            external_reference?: string;
            external_registry_config?: components["schemas"]["MirrorRegistryConfig"];
            external_registry_password?: string | null;
            external_registry_username?: string | null;
            is_enabled?: boolean;
            /** @example acme+mirror */
            robot_username?: string;
            root_rule?: components["schemas"]["MirrorRule"];
            /** @description seconds, at least 300 */
            skopeo_timeout_interval?: number;
            /**
             * @description seconds
             * @example 3600
             */
            sync_interval?: number;
            /** @example 2026-01-01T00:00:00Z */
            sync_start_date?: string;
        };
        Repository: {
            can_admin: boolean;
            can_write: boolean;
            description: string | null;
            /** @description What its namespace stores less when it, or the tag, is deleted and collected */
            freed?: {
                /** @description of blobs that nothing else in the namespace uses */
                bytes: number;
                /** @description false: there is more than was looked at (20,000 blobs; of a tag 1,000, of 64 images), and at least so much is freed */
                complete: boolean;
            };
            is_free_account: boolean;
            is_organization: boolean;
            is_public: boolean;
            is_starred: boolean;
            /** @constant */
            kind: "image";
            name: string;
            namespace: string;
            state: components["schemas"]["RepositoryState"];
            status_token: string;
            tag_expiration_s: number;
            tags?: {
                [key: string]: components["schemas"]["RepositoryTag"];
            };
            trust_enabled: boolean;
        };
        RepositoryEmail: {
            /**
             * @description Always empty: only the mail holds the code
             * @constant
             */
            code: "";
            confirmed: boolean;
            email: string;
            namespace: string;
            repository: string;
        };
        RepositoryEntry: {
            description: string | null;
            is_public: boolean;
            is_starred: boolean;
            /** @constant */
            kind: "image";
            /** @description in seconds since 1970; null: never */
            last_modified?: number | null;
            name: string;
            namespace: string;
            quota_report?: components["schemas"]["QuotaReport"];
            state: components["schemas"]["RepositoryState"];
        };
        /** @enum {unknown} */
        RepositoryState: "NORMAL" | "READ_ONLY" | "MIRROR" | "MARKED_FOR_DELETION" | "ORG_MIRROR";
        RepositoryTag: {
            expiration?: components["schemas"]["Date"];
            last_modified: components["schemas"]["Date"];
            manifest_digest: string;
            name: string;
            size: number | null;
        };
        Robot: {
            created: components["schemas"]["Date"];
            description: string | null;
            last_accessed: components["schemas"]["Date"];
            /** @description namespace+short */
            name: string;
            repositories?: string[];
            teams?: components["schemas"]["TeamAvatar"][];
            /** @description The password of the robot; administrators see it */
            token?: string;
            unstructured_metadata?: Record<string, never> | null;
        };
        RobotFederation: {
            /**
             * Format: uri
             * @description The iss of the provider's tokens, an https address
             * @example https://token.actions.githubusercontent.com
             */
            issuer: string;
            /** @description The sub of the tokens */
            subject: string;
        }[];
        /** @enum {unknown} */
        Role: "read" | "write" | "admin";
        ServiceKey: {
            approval: {
                /** @enum {unknown} */
                approval_type: "Super User API" | "Key Rotation" | "Automatic";
                approved_date: components["schemas"]["Date"];
                approver: Record<string, never> | null;
                notes: string;
            } | null;
            created_date: components["schemas"]["Date"];
            expiration_date: components["schemas"]["Date"];
            /** @description The public half */
            jwk: Record<string, never>;
            kid: string;
            metadata: Record<string, never>;
            name: string;
            /** @description Seconds */
            rotation_duration: number | null;
            service: string;
        };
        SignInRefused: {
            invalidCredentials: boolean;
            message: string;
            needsEmailVerification: boolean;
        };
        StorageLocation: {
            /** @description DISTRIBUTED_STORAGE_CONFIG names it */
            configured: boolean;
            /** @description One of DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS */
            default: boolean;
            /** @description That are to be copied there */
            lag_blobs: number;
            lag_bytes: number;
            /** Format: date-time */
            lag_oldest?: string;
            lag_oldest_seconds: number;
            last_error?: string;
            /** Format: date-time */
            last_failure?: string;
            latency_ms: number;
            name: string;
            /** @description 1 for the one that the instance that answers writes first; 0: not configured */
            preference: number;
            /**
             * @description The breaker of the instance that answers
             * @enum {unknown}
             */
            reads: "closed" | "half-open" | "open";
            /** @enum {unknown} */
            state: "active" | "draining" | "removed";
            /** @enum {unknown} */
            writes: "closed" | "half-open" | "open";
        };
        Success: {
            /** @constant */
            success: true;
        };
        /** @description The service whose groups the team may follow, for who may set that up */
        SyncService: {
            base_dn?: string;
            issuer_domain?: string;
            issuer_url?: string;
            service: string;
        };
        Tag: {
            /** @description seconds since 1970; in the future for a tag that will end */
            end_ts?: number;
            expiration?: components["schemas"]["Date"];
            immutable: boolean;
            is_manifest_list: boolean;
            last_modified: components["schemas"]["Date"];
            manifest_digest: string;
            name: string;
            /** @description of the image, or of those of an index, at most 32; empty where it is not known */
            platforms?: string[];
            /** @description made by a restore */
            reversion: boolean;
            /** @description a signature of cosign or notation is there; whose it is, was not looked at */
            signed?: boolean;
            /** @description bytes of the layers; null for an index */
            size: number | null;
            /** @description seconds since 1970 */
            start_ts: number;
        };
        Team: components["schemas"]["TeamCore"] & {
            is_synced: boolean;
            member_count: number;
            repo_count: number;
        };
        TeamAvatar: {
            avatar: components["schemas"]["Avatar"];
            name: string;
        };
        TeamCore: {
            avatar: components["schemas"]["Avatar"];
            can_view: boolean;
            description: string;
            name: string;
            role: components["schemas"]["TeamRole"];
        };
        TeamMember: {
            avatar: components["schemas"]["Avatar"];
            email?: string;
            invited: boolean;
            is_robot?: boolean;
            /** @enum {unknown} */
            kind: "user" | "invite";
            /** @description Of a user or robot; an invitation by mail has an email instead */
            name?: string;
        };
        TeamPermission: {
            avatar: components["schemas"]["Avatar"];
            name: string;
            role: components["schemas"]["Role"];
        };
        /** @enum {unknown} */
        TeamRole: "member" | "creator" | "admin";
        /** @description The group that the team follows; service alone for who may not set that up */
        TeamSync: {
            config?: {
                [key: string]: string;
            };
            last_updated?: string | null;
            service: string;
        };
    };
    responses: {
        /** @description Created */
        Created: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": "Created";
            };
        };
        /** @description The call was refused or failed */
        Error: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Done; the answer is empty */
        Gone: {
            headers: {
                [name: string]: unknown;
            };
            content?: never;
        };
        /** @description Done */
        Success: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Success"];
            };
        };
    };
    parameters: {
        /** @description The number of a job */
        job: number;
        /** @description Name of a user or robot */
        name: string;
        /** @description `next_page` of the page before */
        nextPage: string;
        /** @description Name of an organization */
        org: string;
        /** @description namespace/name, where the name may hold slashes */
        repo: string;
        /** @description A login service: the name of its block, in lower case */
        service: string;
        /** @description Name of a robot, without its namespace and the plus sign */
        short: string;
        team: string;
        uuid: string;
    };
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    getApplicationInformation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The application */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        avatar: components["schemas"]["Avatar"];
                        description: string;
                        name: string;
                        organization: components["schemas"]["Organization"];
                        uri: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    detachExternalLogin: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description A login service: the name of its block, in lower case */
                service_id: components["parameters"]["service"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Success"];
            default: components["responses"]["Error"];
        };
    };
    discovery: {
        parameters: {
            query?: {
                /** @description true adds what is for the registry's own pages */
                internal?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The Swagger document */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getContractPage: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/html": string;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    linkExternalUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The name at the service, as `entities` finds it with kind external */
                username: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The account */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        entity: components["schemas"]["Entity"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getMatchingEntities: {
        parameters: {
            query?: {
                /** @description Its robots and teams, too */
                namespace?: string;
                includeTeams?: boolean;
                includeOrgs?: boolean;
            };
            header?: never;
            path: {
                /** @description How the names begin */
                prefix: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What was found */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        results: components["schemas"]["Entity"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getErrorDescription: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                type: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The meaning */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        description: string;
                        title: string;
                        type: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    externalLogin: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description A login service: the name of its block, in lower case */
                service_id: components["parameters"]["service"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @enum {unknown} */
                    kind: "login" | "attach" | "cli";
                };
            };
        };
        responses: {
            /** @description Where to go */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        auth_url: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getFiledropUrl: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    conductSearch: {
        parameters: {
            query?: {
                query?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What was found, the best first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        results: (components["schemas"]["FoundRepository"] | components["schemas"]["FoundName"])[];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    conductRepoSearch: {
        parameters: {
            query?: {
                query?: string;
                page?: number;
                /** @description With stars and popularity */
                includeUsage?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of what was found, the best first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        has_additional: boolean;
                        page: number;
                        page_size: number;
                        results: components["schemas"]["FoundRepository"][];
                        start_index: number;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteGlobalMessage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getGlobalMessages: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The messages */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        messages: components["schemas"]["GlobalMessage"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createGlobalMessage: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    message: {
                        content: string;
                        /** @enum {unknown} */
                        media_type: "text/plain" | "text/markdown";
                        /** @enum {unknown} */
                        severity: "info" | "warning" | "error";
                    };
                };
            };
        };
        responses: {
            /** @description Its id */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        uuid: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getContract: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The OpenAPI document */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganization: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    email?: string | null;
                    name: string;
                };
            };
        };
        responses: {
            201: components["responses"]["Created"];
            default: components["responses"]["Error"];
        };
    };
    getOrganization: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What the caller may see of it: teams as a member, all as an administrator */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Organization"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeOrganizationDetails: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    contact_email?: string | null;
                    email?: string | null;
                    invoice_email?: boolean | null;
                    invoice_email_address?: string | null;
                    /** @description One of TAG_EXPIRATION_OPTIONS */
                    tag_expiration_s?: number | null;
                } | null;
            };
        };
        responses: {
            /** @description The organization */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Organization"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteAdminedOrganization: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getAggregateOrgLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
                /** @description Gantry's own: only entries of this kind; may be given 20 times */
                kind?: string[];
                /** @description Gantry's own: only of this repository, namespace/name */
                repository?: string;
                /** @description Only what this account did */
                performer?: string;
            };
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The counts */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogCounts"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrganizationApplications: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The applications */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        applications: components["schemas"]["Application"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganizationApplication: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ApplicationChange"];
            };
        };
        responses: {
            /** @description The application, with its secret */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Application"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrganizationApplication: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The application */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Application"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateOrganizationApplication: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ApplicationChange"];
            };
        };
        responses: {
            /** @description The application */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Application"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationApplication: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    resetOrganizationApplicationClientSecret: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The application, with its new secret */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Application"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listOrganizationApplicationTokens: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The tokens */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        tokens: components["schemas"]["ApplicationToken"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganizationApplicationToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Seconds; without it, ten years */
                    expiration?: number | null;
                    name: string;
                    /**
                     * @description Scopes, separated by blanks or commas
                     * @example repo:read repo:write
                     */
                    scope: string;
                };
            };
        };
        responses: {
            /** @description The token; its secret is shown this once */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApplicationToken"] & {
                        token: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationApplicationToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Client id of the application */
                client: string;
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listOrganizationAutoPrunePolicies: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policies */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        policies: components["schemas"]["PrunePolicy"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganizationAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PrunePolicyChange"];
            };
        };
        responses: {
            /** @description Its id */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrganizationAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policy */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PrunePolicy"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateOrganizationAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PrunePolicyChange"];
            };
        };
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its id */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrganizationCollaborators: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The collaborators */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        collaborators: components["schemas"]["Collaborator"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    exportOrgLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
            };
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LogExportRequest"];
            };
        };
        responses: {
            /** @description The export is queued */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        export_id: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listOrganizationImmutabilityPolicies: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policies */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        policies: components["schemas"]["ImmutabilityPolicy"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganizationImmutabilityPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ImmutabilityPolicyChange"];
            };
        };
        responses: {
            /** @description Its id */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrganizationImmutabilityPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policy */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ImmutabilityPolicy"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateOrganizationImmutabilityPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ImmutabilityPolicyChange"];
            };
        };
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationImmutabilityPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its id */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listOrgLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
                /** @description Gantry's own: only entries of this kind; may be given 20 times */
                kind?: string[];
                /** @description Gantry's own: only of this repository, namespace/name */
                repository?: string;
                /** @description Only what this account did */
                performer?: string;
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page, the newest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Logs"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrganizationMembers: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The members */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        members: components["schemas"]["Member"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrganizationMember: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The member */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Member"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    removeOrganizationMember: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getOrgMirrorConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The mirror, without its password */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OrgMirror"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateOrgMirrorConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["OrgMirrorChange"];
            };
        };
        responses: {
            /** @description Changed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": string;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrgMirrorConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["OrgMirrorChange"];
            };
        };
        responses: {
            /** @description Made */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": string;
                };
            };
            409: components["responses"]["Error"];
            default: components["responses"]["Error"];
        };
    };
    deleteOrgMirrorConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listOrgMirrorRepositories: {
        parameters: {
            query?: {
                /** @description from 1 */
                page?: number;
                /** @description at most 500; 100 unless told */
                limit?: number;
                /** @description only those of this sync_status */
                status?: string;
            };
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of them, by name */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        has_next: boolean;
                        limit: number;
                        page: number;
                        repositories: components["schemas"]["OrgMirrorRepo"][];
                        total: number;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    cancelOrgMirrorSync: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    syncOrgMirrorNow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    verifyOrgMirror: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["OrgMirrorChange"];
            };
        };
        responses: {
            /** @description What it said */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MirrorVerified"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listOrganizationNotifications: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The notifications */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        notifications: components["schemas"]["Notification"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganizationNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewNotification"];
            };
        };
        responses: {
            /** @description The notification */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Notification"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrganizationNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The notification */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Notification"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    resetOrganizationNotificationFailures: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listOrganizationFailedDeliveries: {
        parameters: {
            query?: {
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
                limit?: number;
            };
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Deliveries */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        failed: components["schemas"]["FailedDelivery"][];
                        next_page?: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    resendOrganizationFailedDeliveries: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    /** @description Of which; without it all of them */
                    ids?: number[] | null;
                };
            };
        };
        responses: {
            /** @description How many are sent again */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        resent: number;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    testOrganizationNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The sample is queued */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrganizationPrototypePermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The default permissions */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        prototypes: components["schemas"]["Prototype"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganizationPrototypePermission: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    activating_user?: {
                        name: string;
                    } | null;
                    delegate: {
                        /** @enum {unknown} */
                        kind: "user" | "team";
                        name: string;
                    };
                    role: components["schemas"]["Role"];
                };
            };
        };
        responses: {
            /** @description The default permission */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Prototype"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateOrganizationPrototypePermission: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    role: components["schemas"]["Role"];
                };
            };
        };
        responses: {
            /** @description The default permission */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Prototype"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationPrototypePermission: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getProxyCacheConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The configuration */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProxyCache"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeProxyCacheConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ProxyCacheUpdate"];
            };
        };
        responses: {
            /** @description The configuration */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProxyCache"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createProxyCacheConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ProxyCacheChange"];
            };
        };
        responses: {
            201: components["responses"]["Created"];
            default: components["responses"]["Error"];
        };
    };
    deleteProxyCacheConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is one no more */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": "Deleted";
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listOrganizationQuota: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its quota, or else the default one; or none */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"][];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganizationQuota: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["QuotaSize"];
            };
        };
        responses: {
            201: components["responses"]["Created"];
            default: components["responses"]["Error"];
        };
    };
    getOrganizationQuota: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The quota */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeOrganizationQuota: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["QuotaSize"];
            };
        };
        responses: {
            /** @description The quota */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationQuota: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listOrganizationQuotaLimit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The limits */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuotaLimit"][];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganizationQuotaLimit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["QuotaLimitChange"];
            };
        };
        responses: {
            201: components["responses"]["Created"];
            default: components["responses"]["Error"];
        };
    };
    getOrganizationQuotaLimit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
                /** @description Id of a limit */
                limit: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The limit */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuotaLimit"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeOrganizationQuotaLimit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
                /** @description Id of a limit */
                limit: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["QuotaLimitChange"];
            };
        };
        responses: {
            /** @description The quota */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationQuotaLimit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
                /** @description Id of a limit */
                limit: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getOrgRobots: {
        parameters: {
            query?: {
                /** @description false leaves the tokens out; only administrators see them */
                token?: boolean;
                /** @description true adds teams and repositories, of at most 10,000 rows each */
                permissions?: boolean;
                /** @description How many, by name; at most 10,000 */
                limit?: number;
            };
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The robots */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        robots: components["schemas"]["Robot"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getOrgRobot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The robot */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Robot"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrgRobot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    description?: string;
                    unstructured_metadata?: Record<string, never> | null;
                };
            };
        };
        responses: {
            /** @description The robot, with its token */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Robot"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrgRobot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getOrgRobotFederation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The identities */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RobotFederation"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrgRobotFederation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RobotFederation"];
            };
        };
        responses: {
            /** @description The identities */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RobotFederation"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrgRobotFederation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getOrgRobotPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The repositories */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NamespacePermissions"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    regenerateOrgRobotToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The robot, with its new token */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Robot"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateOrganizationTeam: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    description?: string | null;
                    role: components["schemas"]["TeamRole"];
                };
            };
        };
        responses: {
            /** @description The team */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TeamCore"] & {
                        new_team: boolean;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationTeam: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    inviteTeamMemberEmail: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
                email: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The invitation */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TeamMember"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteTeamMemberEmailInvite: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
                email: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getOrganizationTeamMembers: {
        parameters: {
            query?: {
                /** @description Who is invited, too */
                includePending?: boolean;
            };
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The members */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        can_edit: boolean;
                        can_sync?: components["schemas"]["SyncService"];
                        members: components["schemas"]["TeamMember"][];
                        name: string;
                        synced?: components["schemas"]["TeamSync"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateOrganizationTeamMember: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The member */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TeamMember"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationTeamMember: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getOrganizationTeamPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The repositories */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NamespacePermissions"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    enableOrganizationTeamSync: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    group_dn?: string;
                    group_id?: string;
                    group_name?: string;
                };
            };
        };
        responses: {
            /** @description The team */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Team"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    disableOrganizationTeamSync: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The team */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Team"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    validateProxyCacheConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ProxyCacheChange"];
            };
        };
        responses: {
            /** @description Upstream answers and takes the credentials */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": "Valid";
                };
            };
            default: components["responses"]["Error"];
        };
    };
    requestRecoveryEmail: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    email: string;
                    recaptcha_response?: string;
                };
            };
        };
        responses: {
            /** @description Sent, if there is such a user; or it is the address of an organization, whose administrators are told */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        orgemail?: string;
                        orgname?: string;
                        /** @enum {unknown} */
                        status: "sent" | "org";
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRegistryCapabilities: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The capabilities */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        mirror_architectures: string[];
                        sparse_manifests: {
                            optional_architectures_allowed: boolean;
                            required_architectures: string[];
                            supported: boolean;
                        };
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listRepos: {
        parameters: {
            query?: {
                namespace?: string;
                public?: boolean;
                starred?: boolean;
                /** @description Gantry's own: all that the caller may see */
                visible?: boolean;
                /** @description of visible=true, and with namespace: the newest, by name, or the last pushed to, first; of more than 1,000 repositories always the newest, which order says */
                sort?: "created" | "name" | "pushed";
                /** @description with when each was last pushed to */
                last_modified?: boolean;
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page, and what to ask for the next one with */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        next_page?: string;
                        /**
                         * @description of visible=true
                         * @enum {unknown}
                         */
                        order?: "created" | "name" | "pushed";
                        repositories: components["schemas"]["RepositoryEntry"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createRepo: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    description?: string;
                    /** @description without it, the caller's own */
                    namespace?: string | null;
                    /** @enum {unknown} */
                    repo_kind?: "image" | null;
                    repository: string;
                    /** @enum {unknown} */
                    visibility: "public" | "private";
                };
            };
        };
        responses: {
            /** @description The repository */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @constant */
                        kind: "image";
                        name: string;
                        namespace: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getMirrorHealth: {
        parameters: {
            query?: {
                /** @description list the mirrors */
                detailed?: boolean;
                /** @description at most so many of them */
                limit?: number;
                /** @description from the page before */
                next_page?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description They are well */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MirrorHealth"];
                };
            };
            /** @description Something is wrong, as issues say */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MirrorHealth"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRepo: {
        parameters: {
            query?: {
                /** @description with the newest tags, at most 500; true unless said otherwise */
                includeTags?: string;
                /** @description Gantry's own: with what deleting it frees, for who administers it; with tag, for who may write */
                includeFreed?: string;
                /** @description of includeFreed: what deleting that tag, or those tags together, frees, once their past is given up, too; at most 100 */
                tag?: string[];
                /** @description taken and without effect */
                includeStats?: string;
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The repository */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Repository"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateRepo: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    description: string;
                };
            };
        };
        responses: {
            200: components["responses"]["Success"];
            default: components["responses"]["Error"];
        };
    };
    deleteRepository: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getAggregateRepoLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
                /** @description Gantry's own: only entries of this kind; may be given 20 times */
                kind?: string[];
                /** @description Only what this account did */
                performer?: string;
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The counts */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogCounts"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    checkRepoEmailAuthorized: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                email: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The address */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RepositoryEmail"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    sendAuthorizeRepoEmail: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                email: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The address */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RepositoryEmail"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listRepositoryAutoPrunePolicies: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policies */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        policies: components["schemas"]["PrunePolicy"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createRepositoryAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PrunePolicyChange"];
            };
        };
        responses: {
            /** @description Its id */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRepositoryAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policy */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PrunePolicy"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateRepositoryAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PrunePolicyChange"];
            };
        };
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    deleteRepositoryAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its id */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRepoBuilds: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    requestRepoBuild: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getRepoBuild: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    cancelRepoBuild: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getRepoBuildLogs: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getRepoBuildStatus: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    changeRepoState: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @enum {unknown} */
                    state: "NORMAL" | "READ_ONLY" | "MIRROR";
                };
            };
        };
        responses: {
            200: components["responses"]["Success"];
            default: components["responses"]["Error"];
        };
    };
    changeRepoTrust: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    changeRepoVisibility: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @enum {unknown} */
                    visibility: "public" | "private";
                };
            };
        };
        responses: {
            200: components["responses"]["Success"];
            default: components["responses"]["Error"];
        };
    };
    exportRepoLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LogExportRequest"];
            };
        };
        responses: {
            /** @description The export is queued */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        export_id: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listRepositoryImages: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getImage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getRepoImageSecurity: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    listRepositoryImmutabilityPolicies: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policies */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        policies: components["schemas"]["ImmutabilityPolicy"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createRepositoryImmutabilityPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ImmutabilityPolicyChange"];
            };
        };
        responses: {
            /** @description Its id */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRepositoryImmutabilityPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policy */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ImmutabilityPolicy"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateRepositoryImmutabilityPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ImmutabilityPolicyChange"];
            };
        };
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    deleteRepositoryImmutabilityPolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its id */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listRepoLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
                /** @description Gantry's own: only entries of this kind; may be given 20 times */
                kind?: string[];
                /** @description Only what this account did */
                performer?: string;
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page, the newest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Logs"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRepoManifest: {
        parameters: {
            query?: {
                /** @description Gantry's own: with the configuration */
                includeConfig?: string;
                /** @description Gantry's own: with the documents of an artifact, read out of its layers */
                includeDocuments?: string;
                /** @description Gantry's own: with the first 100 manifests that have this one as their subject */
                includeReferrers?: string;
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                digest: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The manifest */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Manifest"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listManifestLabels: {
        parameters: {
            query?: {
                /** @description only keys that begin with this */
                filter?: string;
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                digest: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The labels */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        labels: components["schemas"]["Label"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    addManifestLabel: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                digest: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    key: string;
                    /** @enum {unknown} */
                    media_type?: "text/plain" | "application/json" | null;
                    /** @description at most 16384 bytes */
                    value: string;
                };
            };
        };
        responses: {
            /** @description The label */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        label: components["schemas"]["Label"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getManifestLabel: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                digest: string;
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The label */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Label"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteManifestLabel: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                digest: string;
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getManifestPullStatistics: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                ref: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getRepoManifestSecurity: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                ref: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getRepoMirrorConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The mirror, without its password */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RepoMirror"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeRepoMirrorConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RepoMirrorChange"];
            };
        };
        responses: {
            /** @description Changed */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": string;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createRepoMirrorConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RepoMirrorChange"];
            };
        };
        responses: {
            /** @description Made */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": string;
                };
            };
            409: components["responses"]["Error"];
            default: components["responses"]["Error"];
        };
    };
    deleteRepoMirrorConfig: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    planRepoMirror: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The id of the dry run */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        run: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listRepoMirrorRuns: {
        parameters: {
            query?: {
                /** @description at most so many, up to 20 */
                limit?: number;
                /** @description from the page before */
                next_page?: string;
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The runs, the newest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        next_page?: string;
                        runs: components["schemas"]["MirrorRun"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRepoMirrorRun: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The run */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MirrorRun"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listRepoMirrorRunTags: {
        parameters: {
            query?: {
                /** @description copied, removed, skipped, failed, kept or rolled back */
                outcome?: string;
                /** @description from the page before */
                next_page?: string;
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The tags that did not stay as they were, by name */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        next_page?: string;
                        tags: components["schemas"]["MirrorOutcome"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    syncCancel: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    syncNow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    verifyRepoMirror: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["RepoMirrorChange"];
            };
        };
        responses: {
            /** @description What it said */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MirrorVerified"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listRepoNotifications: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The notifications */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        notifications: components["schemas"]["Notification"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createRepoNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewNotification"];
            };
        };
        responses: {
            /** @description The notification */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Notification"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRepoNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The notification */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Notification"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    resetRepoNotificationFailures: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    deleteRepoNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listRepoFailedDeliveries: {
        parameters: {
            query?: {
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
                limit?: number;
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Deliveries */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        failed: components["schemas"]["FailedDelivery"][];
                        next_page?: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    resendRepoFailedDeliveries: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    /** @description Of which; without it all of them */
                    ids?: number[] | null;
                };
            };
        };
        responses: {
            /** @description How many are sent again */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        resent: number;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    testRepoNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The sample is queued */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listRepoTeamPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The permissions */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        permissions: {
                            [key: string]: components["schemas"]["TeamPermission"];
                        };
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getTeamPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The permission */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TeamPermission"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeTeamPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    role: components["schemas"]["Role"];
                };
            };
        };
        responses: {
            /** @description The permission */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TeamPermission"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteTeamPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                team: components["parameters"]["team"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listRepoUserPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The permissions */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        permissions: {
                            [key: string]: components["schemas"]["AccountPermission"];
                        };
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getUserPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The permission */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AccountPermission"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeUserPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    role: components["schemas"]["Role"];
                };
            };
        };
        responses: {
            /** @description The permission */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AccountPermission"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteUserPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getUserTransitivePermission: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The roles */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        permissions: {
                            role: components["schemas"]["Role"];
                        }[];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRepoSignatures: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    listRepoTags: {
        parameters: {
            query?: {
                /** @description only this tag */
                specificTag?: string;
                /** @description `eq:TAG`, or `like:TEXT` for names that hold the text in letters of either case */
                filter_tag_name?: string;
                /** @description without history */
                onlyActiveTags?: string;
                /** @description tags a page, 1 to 100 */
                limit?: number;
                page?: number;
                /** @description Gantry's own: the next_page of the page before; empty for the first one */
                next_page?: string;
                /** @description Gantry's own: with the platforms of each image, and whether it is signed */
                includeImage?: string;
                /** @description Gantry's own: only images for it, such as arm64 */
                architecture?: string;
                /** @description Gantry's own: only images with a signature, or without one */
                signed?: string;
            };
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        has_additional: boolean;
                        next_page?: string;
                        page: number;
                        tags: components["schemas"]["Tag"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeTag: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description when the tag ends, in seconds since 1970; null = never */
                    expiration?: number | null;
                    /** @description the tag cannot be moved, deleted or given an end (needs FEATURE_IMMUTABLE_TAGS) */
                    immutable?: boolean | null;
                    /** @description a manifest of the repository to point the tag at */
                    manifest_digest?: string | null;
                };
            };
        };
        responses: {
            /** @description Done */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": "Updated";
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteFullTag: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    removeTagFromTimemachine: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    include_submanifests?: boolean;
                    /**
                     * @description true: the tag as it is now. false: what its history has of manifest_digest
                     * @default false
                     */
                    is_alive?: boolean;
                    manifest_digest?: string;
                };
            };
        };
        responses: {
            /** @description Done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": "";
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listTagImages: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getTagPullStatistics: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    restoreTag: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                tag: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    manifest_digest: string;
                };
            };
        };
        responses: {
            /** @description Done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listRepoTokens: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    createToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getTokens: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    changeToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    deleteToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    listBuildTriggers: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getBuildTrigger: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    updateBuildTrigger: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    deleteBuildTrigger: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    activateBuildTrigger: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    analyzeBuildTrigger: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    listTriggerRecentBuilds: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    listTriggerFieldValues: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    listTriggerBuildSourceNamespaces: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    listTriggerBuildSources: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    manuallyStartBuildTrigger: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    listBuildTriggerSubdirs: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    signinUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    invite_code?: string;
                    /** Format: password */
                    password: string;
                    username: string;
                };
            };
        };
        responses: {
            200: components["responses"]["Success"];
            /** @description Not signed in */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignInRefused"] | components["schemas"]["Error"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    verifyUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: paths["/user/clientkey"]["post"]["requestBody"];
        responses: {
            200: components["responses"]["Success"];
            /** @description Not verified */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignInRefused"] | components["schemas"]["Error"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    logout: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Success"];
            default: components["responses"]["Error"];
        };
    };
    listAggregateLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
                /** @description Gantry's own: only entries of this kind; may be given 20 times */
                kind?: string[];
                /** @description Gantry's own: only of this repository, namespace/name */
                repository?: string;
                /** @description Only what this account did */
                performer?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The counts */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogCounts"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    approveServiceKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                kid: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    notes?: string;
                };
            };
        };
        responses: {
            /** @description Approved */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": "";
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listAllAppTokens: {
        parameters: {
            query?: {
                /** @description Entries of a page, 100 at most */
                limit?: number;
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        next_page?: string;
                        only_expiring: boolean;
                        tokens: (components["schemas"]["AppToken"] & {
                            username: string;
                        })[];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getChangeLog: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Markdown */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        log: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getConfig: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The configuration; the other members are there for clients of Quay, and empty */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        config: Record<string, never>;
                        env?: Record<string, never>;
                        schema?: Record<string, never>;
                        warning?: Record<string, never>;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listJobs: {
        parameters: {
            query?: {
                /** @description Only those of this kind, such as storage.evacuate */
                kind?: string;
                /** @description Only those in this state */
                state?: "ready" | "running" | "done" | "failed" | "cancelled";
                /** @description Entries of a page, 100 at most */
                limit?: number;
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        jobs: components["schemas"]["Job"][];
                        next_page?: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The number of a job */
                job: components["parameters"]["job"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The job */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    cancelJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The number of a job */
                job: components["parameters"]["job"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The job */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            409: components["responses"]["Error"];
            default: components["responses"]["Error"];
        };
    };
    retryJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The number of a job */
                job: components["parameters"]["job"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The job */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            409: components["responses"]["Error"];
            default: components["responses"]["Error"];
        };
    };
    listServiceKeys: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The keys */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        keys: components["schemas"]["ServiceKey"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createServiceKey: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Seconds since 1970; null or missing = it does not end */
                    expiration?: number | null;
                    metadata?: Record<string, never> | null;
                    name?: string;
                    /** @description Why it is approved */
                    notes?: string;
                    service: string;
                };
            };
        };
        responses: {
            /** @description The key; its private half is shown this once */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        kid: string;
                        name: string;
                        /** @description PEM */
                        private_key: string;
                        /** @description PEM */
                        public_key: string;
                        service: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getServiceKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                kid: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The key */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServiceKey"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateServiceKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                kid: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Seconds since 1970; null = it does not end */
                    expiration?: number | null;
                    metadata?: Record<string, never> | null;
                    name?: string | null;
                };
            };
        };
        responses: {
            /** @description The key */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServiceKey"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteServiceKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                kid: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listAllLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
                /** @description Gantry's own: only entries of this kind; may be given 20 times */
                kind?: string[];
                /** @description Gantry's own: only of this repository, namespace/name */
                repository?: string;
                /** @description Only what this account did */
                performer?: string;
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page, the newest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Logs"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getSuperUserMirrorHealth: {
        parameters: {
            query?: {
                /** @description list the mirrors */
                detailed?: boolean;
                /** @description at most so many of them */
                limit?: number;
                /** @description from the page before */
                next_page?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description They are well */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MirrorHealth"];
                };
            };
            /** @description Something is wrong, as issues say */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MirrorHealth"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listOrganizationQuotaSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its quota, or else the default one; or none */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"][];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createOrganizationQuotaSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["QuotaSize"];
            };
        };
        responses: {
            201: components["responses"]["Created"];
            default: components["responses"]["Error"];
        };
    };
    changeOrganizationQuotaSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["QuotaSize"];
            };
        };
        responses: {
            /** @description The quota */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrganizationQuotaSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listAllOrganizations: {
        parameters: {
            query?: {
                /** @description Entries of a page, 100 at most */
                limit?: number;
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        next_page?: string;
                        organizations: components["schemas"]["RegistryOrganization"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeOrganization: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    email?: string;
                    name?: string;
                };
            };
        };
        responses: {
            /** @description The organization */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RegistryOrganization"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOrganization: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an organization */
                org: components["parameters"]["org"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getRegistrySize: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The last count */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description Unix time in milliseconds */
                        last_ran: number | null;
                        queued: boolean;
                        running: boolean;
                        size_bytes: number;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    queueRegistrySizeCalculation: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Counted */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": "";
                };
            };
            /** @description Somebody else has it counted just now */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": "";
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getRegistryStatus: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The state */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {unknown} */
                        status: "ready" | "create-superuser";
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listStorageLocations: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The locations */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        locations: components["schemas"]["StorageLocation"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getStorageLocation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The location, and up to 100 copies */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        copies: {
                            /** @description That failed */
                            attempts: number;
                            digest: string;
                            error: string;
                            /**
                             * Format: date-time
                             * @description When it is tried again, at the earliest
                             */
                            next: string;
                            size: number;
                            /** Format: date-time */
                            wanted: string;
                        }[];
                        location: components["schemas"]["StorageLocation"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getNamespaceStorage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The locations */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NamespaceStorage"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeNamespaceStorage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    excluded?: string[];
                    /** @description Besides the default locations */
                    locations?: string[];
                };
            };
        };
        responses: {
            /** @description The locations */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NamespaceStorage"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    takeOwnership: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The namespace */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        namespace: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listAllUsers: {
        parameters: {
            query?: {
                /** @description false: only those that are enabled */
                disabled?: boolean;
                /** @description Entries of a page, 100 at most */
                limit?: number;
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        next_page?: string;
                        users: components["schemas"]["RegistryUser"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createInstallUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    email?: string;
                    username: string;
                };
            };
        };
        responses: {
            /** @description The user */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        email: string;
                        encrypted_password: string;
                        password: string;
                        username: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getInstallUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The user */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RegistryUser"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeInstallUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    email?: string;
                    enabled?: boolean;
                    /** Format: password */
                    password?: string;
                };
            };
        };
        responses: {
            /** @description The user */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RegistryUser"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteInstallUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listUserQuotaSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its quota, or else the default one; or none */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"][];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createUserQuotaSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["QuotaSize"];
            };
        };
        responses: {
            201: components["responses"]["Created"];
            default: components["responses"]["Error"];
        };
    };
    changeUserQuotaSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["QuotaSize"];
            };
        };
        responses: {
            /** @description The quota */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteUserQuotaSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getRepoBuildSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getRepoBuildLogsSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getRepoBuildLogArchiveSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    getRepoBuildStatusSuperUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            default: components["responses"]["Error"];
        };
    };
    sendInstallUserRecoveryEmail: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a user or robot */
                name: components["parameters"]["name"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Where it was sent */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        email: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    acceptOrganizationTeamInvite: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                code: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The team */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        org: string;
                        team: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    declineOrganizationTeamInvite: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                code: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getLoggedInUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The caller */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Me"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeUserDetails: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    company?: string | null;
                    email?: string | null;
                    family_name?: string | null;
                    given_name?: string | null;
                    invoice_email?: boolean | null;
                    invoice_email_address?: string | null;
                    location?: string | null;
                    /** Format: password */
                    password?: string | null;
                    /** @description One of TAG_EXPIRATION_OPTIONS */
                    tag_expiration_s?: number | null;
                    username?: string | null;
                } | null;
            };
        };
        responses: {
            /** @description The caller */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Me"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createNewUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    email?: string;
                    invite_code?: string;
                    /** Format: password */
                    password: string;
                    username: string;
                };
            };
        };
        responses: {
            /** @description Signed in; or, with FEATURE_MAILING, a mail was sent to confirm the address */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Success"] | {
                        /** @constant */
                        awaiting_verification: true;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteCurrentUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getAggregateUserLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
                /** @description Gantry's own: only entries of this kind; may be given 20 times */
                kind?: string[];
                /** @description Gantry's own: only of this repository, namespace/name */
                repository?: string;
                /** @description Only what this account did */
                performer?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The counts */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogCounts"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listAppTokens: {
        parameters: {
            query?: {
                /** @description Only those that end within 7 days */
                expiring?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The tokens */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        only_expiring: boolean;
                        tokens: components["schemas"]["AppToken"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createAppToken: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    title: string;
                };
            };
        };
        responses: {
            /** @description The token, with its secret */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppTokenAnswer"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getAppToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The token, with its secret */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppTokenAnswer"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    revokeAppToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listAssignedAuthorizations: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The assignments */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        authorizations: components["schemas"]["AssignedAuthorization"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteAssignedAuthorization: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listUserAuthorizations: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The authorizations */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        authorizations: components["schemas"]["Authorization"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getUserAuthorization: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The authorization */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Authorization"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteUserAuthorization: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listUserAutoPrunePolicies: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policies */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        policies: components["schemas"]["PrunePolicy"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createUserAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PrunePolicyChange"];
            };
        };
        responses: {
            /** @description Its id */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getUserAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policy */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PrunePolicy"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateUserAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PrunePolicyChange"];
            };
        };
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    deleteUserAutoPrunePolicy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its id */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyId"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    generateUserClientKey: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** Format: password */
                    password: string;
                };
            };
        };
        responses: {
            /** @description The encrypted password */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        key: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    convertUserToOrganization: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** Format: password */
                    adminPassword: string;
                    adminUser: string;
                    plan?: string | null;
                };
            };
        };
        responses: {
            200: components["responses"]["Success"];
            /** @description The reason is invaliduser where the other user is not one that can be taken */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"] & {
                        /** @constant */
                        reason?: "invaliduser";
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    exportUserLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LogExportRequest"];
            };
        };
        responses: {
            /** @description The export is queued */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        export_id: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    initialize: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Also make a token with all scopes that lives for two and a half hours */
                    access_token?: boolean;
                    email?: string;
                    /** Format: password */
                    password: string;
                    username: string;
                };
            };
        };
        responses: {
            /** @description The account */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        access_token?: string;
                        email: string;
                        encrypted_password: string;
                        username: string;
                    };
                };
            };
            /** @description A value is not valid, or there are accounts already */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Message"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listUserLogs: {
        parameters: {
            query?: {
                /** @description A day in UTC, MM/DD/YYYY; without it, 24 hours ago */
                starttime?: string;
                /** @description The last day, MM/DD/YYYY; without it, today */
                endtime?: string;
                /** @description Gantry's own: only entries of this kind; may be given 20 times */
                kind?: string[];
                /** @description Gantry's own: only of this repository, namespace/name */
                repository?: string;
                /** @description Only what this account did */
                performer?: string;
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page, the newest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Logs"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listNamespaceNotifications: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The notifications */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        notifications: components["schemas"]["Notification"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createNamespaceNotification: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewNotification"];
            };
        };
        responses: {
            /** @description The notification */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Notification"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getNamespaceNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The notification */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Notification"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    resetNamespaceNotificationFailures: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    deleteNamespaceNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    listNamespaceFailedDeliveries: {
        parameters: {
            query?: {
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
                limit?: number;
            };
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Deliveries */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        failed: components["schemas"]["FailedDelivery"][];
                        next_page?: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    resendNamespaceFailedDeliveries: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    /** @description Of which; without it all of them */
                    ids?: number[] | null;
                };
            };
        };
        responses: {
            /** @description How many are sent again */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        resent: number;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    testNamespaceNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The sample is queued */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listUserNotifications: {
        parameters: {
            query?: {
                page?: number;
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description There are more */
                        additional: boolean;
                        notifications: components["schemas"]["Notice"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getUserNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The notice */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Notice"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    updateUserNotification: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                uuid: components["parameters"]["uuid"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    dismissed: boolean;
                };
            };
        };
        responses: {
            /** @description The notice */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Notice"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listUserQuota: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its quota, or else the default one; or none */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"][];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getUserQuota: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The quota */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Quota"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listUserQuotaLimit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of a quota */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The limits */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuotaLimit"][];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getUserQuotaLimit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of a quota */
                id: string;
                /** @description Id of a limit */
                limit: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The limit */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuotaLimit"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getUserRobots: {
        parameters: {
            query?: {
                /** @description false leaves the tokens out; only administrators see them */
                token?: boolean;
                /** @description true adds teams and repositories, of at most 10,000 rows each */
                permissions?: boolean;
                /** @description How many, by name; at most 10,000 */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The robots */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        robots: components["schemas"]["Robot"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getUserRobot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The robot */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Robot"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createUserRobot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    description?: string;
                    unstructured_metadata?: Record<string, never> | null;
                };
            };
        };
        responses: {
            /** @description The robot, with its token */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Robot"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteUserRobot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getUserRobotFederation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The identities */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RobotFederation"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createUserRobotFederation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RobotFederation"];
            };
        };
        responses: {
            /** @description The identities */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RobotFederation"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteUserRobotFederation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getUserRobotPermissions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The repositories */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NamespacePermissions"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    regenerateUserRobotToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a robot, without its namespace and the plus sign */
                short: components["parameters"]["short"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The robot, with its new token */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Robot"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listStarredRepos: {
        parameters: {
            query?: {
                /** @description `next_page` of the page before */
                next_page?: components["parameters"]["nextPage"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page, and what to ask for the next one with */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        next_page?: string;
                        repositories: components["schemas"]["RepositoryEntry"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createStar: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    namespace: string;
                    repository: string;
                };
            };
        };
        responses: {
            /** @description It is marked */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        namespace: string;
                        repository: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteStar: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description namespace/name, where the name may hold slashes */
                repo: components["parameters"]["repo"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Gone"];
            default: components["responses"]["Error"];
        };
    };
    getUserInformation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                username: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The user */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @constant */
                        anonymous: false;
                        avatar: components["schemas"]["Avatar"];
                        is_me: boolean;
                        username: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
}
