"""The types of the client's records and arguments, made from the frozen schema by ``make stub``.

``octavo.connect()`` gives a :class:`Client`, ``octavo.connect_async()`` an :class:`AsyncClient`.  A record's
relations are there where a call includes them, and its fields where it does not select others; Python's types
cannot tell the one case from the other.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, overload

from octavo.layout.record import BareRecord
from octavo.query.result import Counts
from octavo.typed.awaited import AsyncActions
from octavo.typed.shapes import (
    Actions,
    Arithmetic,
    AsyncConnection,
    AsyncScope,
    Connection,
    CountSelect,
    CountWhere,
    DateTime,
    EditMany,
    EditOne,
    EditOptional,
    JsonFilter,
    ListFilter,
    Mode,
    NewMany,
    NewOne,
    OtherField,
    Scope,
    SetTo,
    ShownMany,
    ShownOne,
    Sort,
    SortCount,
    SortNulls,
)

Provider: TypeAlias = Literal[
    "OPENAI",
    "ANTHROPIC",
    "OLLAMA",
    "OPENROUTER",
    "OPENAI_COMPATIBLE",
    "GROK",
    "GAB_AI",
]

ImageProvider: TypeAlias = Literal["OPENAI", "GROK", "GOOGLE_IMAGEN"]

Role: TypeAlias = Literal["SYSTEM", "USER", "ASSISTANT", "TOOL"]

ImageTagType: TypeAlias = Literal["CHARACTER", "PERSONA", "CHAT", "THEME"]

AvatarDisplayMode: TypeAlias = Literal["ALWAYS", "GROUP_ONLY", "NEVER"]

StringFilter = TypedDict(
    "StringFilter",
    {
        "equals": str | OtherField,
        "not": str | OtherField | StringFilter,
        "in": Sequence[str] | OtherField,
        "not_in": Sequence[str] | OtherField,
        "notIn": Sequence[str] | OtherField,
        "lt": str | OtherField,
        "lte": str | OtherField,
        "gt": str | OtherField,
        "gte": str | OtherField,
        "contains": str | OtherField,
        "starts_with": str | OtherField,
        "startsWith": str | OtherField,
        "startswith": str | OtherField,
        "ends_with": str | OtherField,
        "endsWith": str | OtherField,
        "endswith": str | OtherField,
        "mode": Mode,
    },
    total=False,
)

StringOrNullFilter = TypedDict(
    "StringOrNullFilter",
    {
        "equals": str | OtherField | None,
        "not": str | OtherField | StringOrNullFilter | None,
        "in": Sequence[str] | OtherField,
        "not_in": Sequence[str] | OtherField,
        "notIn": Sequence[str] | OtherField,
        "lt": str | OtherField,
        "lte": str | OtherField,
        "gt": str | OtherField,
        "gte": str | OtherField,
        "contains": str | OtherField,
        "starts_with": str | OtherField,
        "startsWith": str | OtherField,
        "startswith": str | OtherField,
        "ends_with": str | OtherField,
        "endsWith": str | OtherField,
        "endswith": str | OtherField,
        "mode": Mode,
    },
    total=False,
)

DateTimeOrNullFilter = TypedDict(
    "DateTimeOrNullFilter",
    {
        "equals": datetime | str | OtherField | None,
        "not": datetime | str | OtherField | DateTimeOrNullFilter | None,
        "in": Sequence[datetime | str] | OtherField,
        "not_in": Sequence[datetime | str] | OtherField,
        "notIn": Sequence[datetime | str] | OtherField,
        "lt": datetime | str | OtherField,
        "lte": datetime | str | OtherField,
        "gt": datetime | str | OtherField,
        "gte": datetime | str | OtherField,
    },
    total=False,
)

BooleanFilter = TypedDict(
    "BooleanFilter",
    {
        "equals": bool | OtherField,
        "not": bool | OtherField | BooleanFilter,
        "in": Sequence[bool] | OtherField,
        "not_in": Sequence[bool] | OtherField,
        "notIn": Sequence[bool] | OtherField,
    },
    total=False,
)

DateTimeFilter = TypedDict(
    "DateTimeFilter",
    {
        "equals": datetime | str | OtherField,
        "not": datetime | str | OtherField | DateTimeFilter,
        "in": Sequence[datetime | str] | OtherField,
        "not_in": Sequence[datetime | str] | OtherField,
        "notIn": Sequence[datetime | str] | OtherField,
        "lt": datetime | str | OtherField,
        "lte": datetime | str | OtherField,
        "gt": datetime | str | OtherField,
        "gte": datetime | str | OtherField,
    },
    total=False,
)

AvatarDisplayModeFilter = TypedDict(
    "AvatarDisplayModeFilter",
    {
        "equals": AvatarDisplayMode | OtherField,
        "not": AvatarDisplayMode | OtherField | AvatarDisplayModeFilter,
        "in": Sequence[AvatarDisplayMode] | OtherField,
        "not_in": Sequence[AvatarDisplayMode] | OtherField,
        "notIn": Sequence[AvatarDisplayMode] | OtherField,
    },
    total=False,
)

IntOrNullFilter = TypedDict(
    "IntOrNullFilter",
    {
        "equals": int | OtherField | None,
        "not": int | OtherField | IntOrNullFilter | None,
        "in": Sequence[int] | OtherField,
        "not_in": Sequence[int] | OtherField,
        "notIn": Sequence[int] | OtherField,
        "lt": int | OtherField,
        "lte": int | OtherField,
        "gt": int | OtherField,
        "gte": int | OtherField,
    },
    total=False,
)

ProviderFilter = TypedDict(
    "ProviderFilter",
    {
        "equals": Provider | OtherField,
        "not": Provider | OtherField | ProviderFilter,
        "in": Sequence[Provider] | OtherField,
        "not_in": Sequence[Provider] | OtherField,
        "notIn": Sequence[Provider] | OtherField,
    },
    total=False,
)

RoleFilter = TypedDict(
    "RoleFilter",
    {
        "equals": Role | OtherField,
        "not": Role | OtherField | RoleFilter,
        "in": Sequence[Role] | OtherField,
        "not_in": Sequence[Role] | OtherField,
        "notIn": Sequence[Role] | OtherField,
    },
    total=False,
)

IntFilter = TypedDict(
    "IntFilter",
    {
        "equals": int | OtherField,
        "not": int | OtherField | IntFilter,
        "in": Sequence[int] | OtherField,
        "not_in": Sequence[int] | OtherField,
        "notIn": Sequence[int] | OtherField,
        "lt": int | OtherField,
        "lte": int | OtherField,
        "gt": int | OtherField,
        "gte": int | OtherField,
    },
    total=False,
)

ImageTagTypeFilter = TypedDict(
    "ImageTagTypeFilter",
    {
        "equals": ImageTagType | OtherField,
        "not": ImageTagType | OtherField | ImageTagTypeFilter,
        "in": Sequence[ImageTagType] | OtherField,
        "not_in": Sequence[ImageTagType] | OtherField,
        "notIn": Sequence[ImageTagType] | OtherField,
    },
    total=False,
)

ImageProviderFilter = TypedDict(
    "ImageProviderFilter",
    {
        "equals": ImageProvider | OtherField,
        "not": ImageProvider | OtherField | ImageProviderFilter,
        "in": Sequence[ImageProvider] | OtherField,
        "not_in": Sequence[ImageProvider] | OtherField,
        "notIn": Sequence[ImageProvider] | OtherField,
    },
    total=False,
)

class User(BareRecord, frozen=True, kw_only=True):
    """A person who signs in."""

    id: str
    email: str
    name: str | None
    image: str | None
    emailVerified: DateTime | None
    passwordHash: str | None
    totpSecret: str | None
    totpSecretIv: str | None
    totpSecretAuthTag: str | None
    totpEnabled: bool
    totpVerifiedAt: DateTime | None
    backupCodes: str | None
    backupCodesIv: str | None
    backupCodesAuthTag: str | None
    createdAt: DateTime
    updatedAt: DateTime
    chatSettings: ChatSettings | None
    accounts: list[Account]
    sessions: list[Session]
    apiKeys: list[ApiKey]
    connectionProfiles: list[ConnectionProfile]
    characters: list[Character]
    personas: list[Persona]
    chats: list[Chat]
    images: list[Image]
    tags: list[Tag]
    imageProfiles: list[ImageProfile]
    _count: Counts

UserField: TypeAlias = Literal[
    "id",
    "email",
    "name",
    "image",
    "emailVerified",
    "passwordHash",
    "totpSecret",
    "totpSecretIv",
    "totpSecretAuthTag",
    "totpEnabled",
    "totpVerifiedAt",
    "backupCodes",
    "backupCodesIv",
    "backupCodesAuthTag",
    "createdAt",
    "updatedAt",
]

class UserRest(TypedDict, total=False):
    AND: UserWhere | Sequence[UserWhere]
    NOT: UserWhere | Sequence[UserWhere]
    OR: Sequence[UserWhere]
    name: str | OtherField | StringOrNullFilter | None
    image: str | OtherField | StringOrNullFilter | None
    emailVerified: datetime | str | OtherField | DateTimeOrNullFilter | None
    passwordHash: str | OtherField | StringOrNullFilter | None
    totpSecret: str | OtherField | StringOrNullFilter | None
    totpSecretIv: str | OtherField | StringOrNullFilter | None
    totpSecretAuthTag: str | OtherField | StringOrNullFilter | None
    totpEnabled: bool | OtherField | BooleanFilter
    totpVerifiedAt: datetime | str | OtherField | DateTimeOrNullFilter | None
    backupCodes: str | OtherField | StringOrNullFilter | None
    backupCodesIv: str | OtherField | StringOrNullFilter | None
    backupCodesAuthTag: str | OtherField | StringOrNullFilter | None
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    chatSettings: ChatSettingsOne | None
    accounts: ListFilter[AccountWhere]
    sessions: ListFilter[SessionWhere]
    apiKeys: ListFilter[ApiKeyWhere]
    connectionProfiles: ListFilter[ConnectionProfileWhere]
    characters: ListFilter[CharacterWhere]
    personas: ListFilter[PersonaWhere]
    chats: ListFilter[ChatWhere]
    images: ListFilter[ImageWhere]
    tags: ListFilter[TagWhere]
    imageProfiles: ListFilter[ImageProfileWhere]

class UserWhere(UserRest, total=False):
    id: str | OtherField | StringFilter
    email: str | OtherField | StringFilter

class UserUnique(UserRest, total=False):
    id: str | OtherField | StringFilter
    email: str | OtherField | StringFilter

UserIs = TypedDict(
    "UserIs",
    {
        "is": UserWhere | None,
        "is_not": UserWhere | None,
        "isNot": UserWhere | None,
    },
    total=False,
)

class UserOne(UserWhere, UserIs, total=False): ...

class UserData(TypedDict):
    id: NotRequired[str]
    email: str
    name: NotRequired[str | None]
    image: NotRequired[str | None]
    emailVerified: NotRequired[datetime | str | None]
    passwordHash: NotRequired[str | None]
    totpSecret: NotRequired[str | None]
    totpSecretIv: NotRequired[str | None]
    totpSecretAuthTag: NotRequired[str | None]
    totpEnabled: NotRequired[bool]
    totpVerifiedAt: NotRequired[datetime | str | None]
    backupCodes: NotRequired[str | None]
    backupCodesIv: NotRequired[str | None]
    backupCodesAuthTag: NotRequired[str | None]
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class UserCreate(UserData, total=False):
    chatSettings: ChatSettingsNewOne
    accounts: AccountNewMany
    sessions: SessionNewMany
    apiKeys: ApiKeyNewMany
    connectionProfiles: ConnectionProfileNewMany
    characters: CharacterNewMany
    personas: PersonaNewMany
    chats: ChatNewMany
    images: ImageNewMany
    tags: TagNewMany
    imageProfiles: ImageProfileNewMany

class UserChanges(TypedDict, total=False):
    id: str | SetTo[str]
    email: str | SetTo[str]
    name: str | SetTo[str | None] | None
    image: str | SetTo[str | None] | None
    emailVerified: datetime | str | SetTo[datetime | str | None] | None
    passwordHash: str | SetTo[str | None] | None
    totpSecret: str | SetTo[str | None] | None
    totpSecretIv: str | SetTo[str | None] | None
    totpSecretAuthTag: str | SetTo[str | None] | None
    totpEnabled: bool | SetTo[bool]
    totpVerifiedAt: datetime | str | SetTo[datetime | str | None] | None
    backupCodes: str | SetTo[str | None] | None
    backupCodesIv: str | SetTo[str | None] | None
    backupCodesAuthTag: str | SetTo[str | None] | None
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class UserUpdate(UserChanges, total=False):
    chatSettings: ChatSettingsEditOptional
    accounts: AccountEditMany
    sessions: SessionEditMany
    apiKeys: ApiKeyEditMany
    connectionProfiles: ConnectionProfileEditMany
    characters: CharacterEditMany
    personas: PersonaEditMany
    chats: ChatEditMany
    images: ImageEditMany
    tags: TagEditMany
    imageProfiles: ImageProfileEditMany

class UserNewOne(NewOne[UserCreate, UserUnique], total=False): ...
class UserEditOne(EditOne[UserCreate, UserUpdate, UserUnique, UserWhere], total=False): ...
class UserShownOne(ShownOne[UserWhere, UserInclude, UserSelect, UserField], total=False): ...

class UserCounted(TypedDict, total=False):
    accounts: bool | CountWhere[AccountWhere]
    sessions: bool | CountWhere[SessionWhere]
    apiKeys: bool | CountWhere[ApiKeyWhere]
    connectionProfiles: bool | CountWhere[ConnectionProfileWhere]
    characters: bool | CountWhere[CharacterWhere]
    personas: bool | CountWhere[PersonaWhere]
    chats: bool | CountWhere[ChatWhere]
    images: bool | CountWhere[ImageWhere]
    tags: bool | CountWhere[TagWhere]
    imageProfiles: bool | CountWhere[ImageProfileWhere]

class UserInclude(TypedDict, total=False):
    chatSettings: bool | ChatSettingsShownOne
    accounts: bool | AccountShownMany
    sessions: bool | SessionShownMany
    apiKeys: bool | ApiKeyShownMany
    connectionProfiles: bool | ConnectionProfileShownMany
    characters: bool | CharacterShownMany
    personas: bool | PersonaShownMany
    chats: bool | ChatShownMany
    images: bool | ImageShownMany
    tags: bool | TagShownMany
    imageProfiles: bool | ImageProfileShownMany
    _count: bool | CountSelect[UserCounted]

class UserSelect(UserInclude, total=False):
    id: bool
    email: bool
    name: bool
    image: bool
    emailVerified: bool
    passwordHash: bool
    totpSecret: bool
    totpSecretIv: bool
    totpSecretAuthTag: bool
    totpEnabled: bool
    totpVerifiedAt: bool
    backupCodes: bool
    backupCodesIv: bool
    backupCodesAuthTag: bool
    createdAt: bool
    updatedAt: bool

class UserOrder(TypedDict, total=False):
    id: Sort
    email: Sort
    name: Sort | SortNulls
    image: Sort | SortNulls
    emailVerified: Sort | SortNulls
    passwordHash: Sort | SortNulls
    totpSecret: Sort | SortNulls
    totpSecretIv: Sort | SortNulls
    totpSecretAuthTag: Sort | SortNulls
    totpEnabled: Sort
    totpVerifiedAt: Sort | SortNulls
    backupCodes: Sort | SortNulls
    backupCodesIv: Sort | SortNulls
    backupCodesAuthTag: Sort | SortNulls
    createdAt: Sort
    updatedAt: Sort
    chatSettings: ChatSettingsOrder
    accounts: SortCount
    sessions: SortCount
    apiKeys: SortCount
    connectionProfiles: SortCount
    characters: SortCount
    personas: SortCount
    chats: SortCount
    images: SortCount
    tags: SortCount
    imageProfiles: SortCount

class UserActions(
    Actions[
        User,
        UserField,
        UserWhere,
        UserUnique,
        UserCreate,
        UserData,
        UserUpdate,
        UserChanges,
        UserOrder,
        UserInclude,
        UserSelect,
    ],
): ...
class UserAsyncActions(
    AsyncActions[
        User,
        UserField,
        UserWhere,
        UserUnique,
        UserCreate,
        UserData,
        UserUpdate,
        UserChanges,
        UserOrder,
        UserInclude,
        UserSelect,
    ],
): ...

class ChatSettings(BareRecord, frozen=True, kw_only=True):
    """How a user's chats look."""

    id: str
    userId: str
    avatarDisplayMode: AvatarDisplayMode
    avatarDisplayStyle: str
    createdAt: DateTime
    updatedAt: DateTime
    user: User

ChatSettingsField: TypeAlias = Literal[
    "id",
    "userId",
    "avatarDisplayMode",
    "avatarDisplayStyle",
    "createdAt",
    "updatedAt",
]

class ChatSettingsRest(TypedDict, total=False):
    AND: ChatSettingsWhere | Sequence[ChatSettingsWhere]
    NOT: ChatSettingsWhere | Sequence[ChatSettingsWhere]
    OR: Sequence[ChatSettingsWhere]
    avatarDisplayMode: AvatarDisplayMode | OtherField | AvatarDisplayModeFilter
    avatarDisplayStyle: str | OtherField | StringFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    user: UserOne

class ChatSettingsWhere(ChatSettingsRest, total=False):
    id: str | OtherField | StringFilter
    userId: str | OtherField | StringFilter

class ChatSettingsUnique(ChatSettingsRest, total=False):
    id: str | OtherField | StringFilter
    userId: str | OtherField | StringFilter

ChatSettingsIs = TypedDict(
    "ChatSettingsIs",
    {
        "is": ChatSettingsWhere | None,
        "is_not": ChatSettingsWhere | None,
        "isNot": ChatSettingsWhere | None,
    },
    total=False,
)

class ChatSettingsOne(ChatSettingsWhere, ChatSettingsIs, total=False): ...

class ChatSettingsData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    avatarDisplayMode: NotRequired[AvatarDisplayMode]
    avatarDisplayStyle: NotRequired[str]
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class ChatSettingsCreate(ChatSettingsData, total=False):
    user: UserNewOne

class ChatSettingsChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    avatarDisplayMode: AvatarDisplayMode | SetTo[AvatarDisplayMode]
    avatarDisplayStyle: str | SetTo[str]
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class ChatSettingsUpdate(ChatSettingsChanges, total=False):
    user: UserEditOne

class ChatSettingsNewOne(NewOne[ChatSettingsCreate, ChatSettingsUnique], total=False): ...
class ChatSettingsEditOptional(
    EditOptional[
        ChatSettingsCreate,
        ChatSettingsUpdate,
        ChatSettingsUnique,
        ChatSettingsWhere,
    ],
    total=False,
): ...
class ChatSettingsShownOne(
    ShownOne[
        ChatSettingsWhere,
        ChatSettingsInclude,
        ChatSettingsSelect,
        ChatSettingsField,
    ],
    total=False,
): ...

class ChatSettingsInclude(TypedDict, total=False):
    user: bool | UserShownOne

class ChatSettingsSelect(ChatSettingsInclude, total=False):
    id: bool
    userId: bool
    avatarDisplayMode: bool
    avatarDisplayStyle: bool
    createdAt: bool
    updatedAt: bool

class ChatSettingsOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    avatarDisplayMode: Sort
    avatarDisplayStyle: Sort
    createdAt: Sort
    updatedAt: Sort
    user: UserOrder

class ChatSettingsActions(
    Actions[
        ChatSettings,
        ChatSettingsField,
        ChatSettingsWhere,
        ChatSettingsUnique,
        ChatSettingsCreate,
        ChatSettingsData,
        ChatSettingsUpdate,
        ChatSettingsChanges,
        ChatSettingsOrder,
        ChatSettingsInclude,
        ChatSettingsSelect,
    ],
): ...
class ChatSettingsAsyncActions(
    AsyncActions[
        ChatSettings,
        ChatSettingsField,
        ChatSettingsWhere,
        ChatSettingsUnique,
        ChatSettingsCreate,
        ChatSettingsData,
        ChatSettingsUpdate,
        ChatSettingsChanges,
        ChatSettingsOrder,
        ChatSettingsInclude,
        ChatSettingsSelect,
    ],
): ...

class Account(BareRecord, frozen=True, kw_only=True):
    """A sign-in through another service (OAuth)."""

    id: str
    userId: str
    type: str
    provider: str
    providerAccountId: str
    refresh_token: str | None
    access_token: str | None
    expires_at: int | None
    token_type: str | None
    scope: str | None
    id_token: str | None
    session_state: str | None
    user: User

AccountField: TypeAlias = Literal[
    "id",
    "userId",
    "type",
    "provider",
    "providerAccountId",
    "refresh_token",
    "access_token",
    "expires_at",
    "token_type",
    "scope",
    "id_token",
    "session_state",
]

class Account_provider_providerAccountId(TypedDict):
    provider: str
    providerAccountId: str

class AccountRest(TypedDict, total=False):
    AND: AccountWhere | Sequence[AccountWhere]
    NOT: AccountWhere | Sequence[AccountWhere]
    OR: Sequence[AccountWhere]
    userId: str | OtherField | StringFilter
    type: str | OtherField | StringFilter
    provider: str | OtherField | StringFilter
    providerAccountId: str | OtherField | StringFilter
    refresh_token: str | OtherField | StringOrNullFilter | None
    access_token: str | OtherField | StringOrNullFilter | None
    expires_at: int | OtherField | IntOrNullFilter | None
    token_type: str | OtherField | StringOrNullFilter | None
    scope: str | OtherField | StringOrNullFilter | None
    id_token: str | OtherField | StringOrNullFilter | None
    session_state: str | OtherField | StringOrNullFilter | None
    user: UserOne

class AccountWhere(AccountRest, total=False):
    id: str | OtherField | StringFilter
    provider_providerAccountId: Account_provider_providerAccountId

class AccountUnique(AccountRest, total=False):
    id: str | OtherField | StringFilter
    provider_providerAccountId: Account_provider_providerAccountId

class AccountData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    type: str
    provider: str
    providerAccountId: str
    refresh_token: NotRequired[str | None]
    access_token: NotRequired[str | None]
    expires_at: NotRequired[int | None]
    token_type: NotRequired[str | None]
    scope: NotRequired[str | None]
    id_token: NotRequired[str | None]
    session_state: NotRequired[str | None]

class AccountCreate(AccountData, total=False):
    user: UserNewOne

class AccountChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    type: str | SetTo[str]
    provider: str | SetTo[str]
    providerAccountId: str | SetTo[str]
    refresh_token: str | SetTo[str | None] | None
    access_token: str | SetTo[str | None] | None
    expires_at: int | Arithmetic[int | None] | None
    token_type: str | SetTo[str | None] | None
    scope: str | SetTo[str | None] | None
    id_token: str | SetTo[str | None] | None
    session_state: str | SetTo[str | None] | None

class AccountUpdate(AccountChanges, total=False):
    user: UserEditOne

class AccountNewMany(NewMany[AccountCreate, AccountData, AccountUnique], total=False): ...
class AccountEditMany(
    EditMany[
        AccountCreate,
        AccountData,
        AccountUpdate,
        AccountChanges,
        AccountUnique,
        AccountWhere,
    ],
    total=False,
): ...
class AccountShownMany(
    ShownMany[
        AccountWhere,
        AccountUnique,
        AccountOrder,
        AccountInclude,
        AccountSelect,
        AccountField,
    ],
    total=False,
): ...

class AccountInclude(TypedDict, total=False):
    user: bool | UserShownOne

class AccountSelect(AccountInclude, total=False):
    id: bool
    userId: bool
    type: bool
    provider: bool
    providerAccountId: bool
    refresh_token: bool
    access_token: bool
    expires_at: bool
    token_type: bool
    scope: bool
    id_token: bool
    session_state: bool

class AccountOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    type: Sort
    provider: Sort
    providerAccountId: Sort
    refresh_token: Sort | SortNulls
    access_token: Sort | SortNulls
    expires_at: Sort | SortNulls
    token_type: Sort | SortNulls
    scope: Sort | SortNulls
    id_token: Sort | SortNulls
    session_state: Sort | SortNulls
    user: UserOrder

class AccountActions(
    Actions[
        Account,
        AccountField,
        AccountWhere,
        AccountUnique,
        AccountCreate,
        AccountData,
        AccountUpdate,
        AccountChanges,
        AccountOrder,
        AccountInclude,
        AccountSelect,
    ],
): ...
class AccountAsyncActions(
    AsyncActions[
        Account,
        AccountField,
        AccountWhere,
        AccountUnique,
        AccountCreate,
        AccountData,
        AccountUpdate,
        AccountChanges,
        AccountOrder,
        AccountInclude,
        AccountSelect,
    ],
): ...

class Session(BareRecord, frozen=True, kw_only=True):
    """A signed-in browser."""

    id: str
    sessionToken: str
    userId: str
    expires: DateTime
    user: User

SessionField: TypeAlias = Literal["id", "sessionToken", "userId", "expires"]

class SessionRest(TypedDict, total=False):
    AND: SessionWhere | Sequence[SessionWhere]
    NOT: SessionWhere | Sequence[SessionWhere]
    OR: Sequence[SessionWhere]
    userId: str | OtherField | StringFilter
    expires: datetime | str | OtherField | DateTimeFilter
    user: UserOne

class SessionWhere(SessionRest, total=False):
    id: str | OtherField | StringFilter
    sessionToken: str | OtherField | StringFilter

class SessionUnique(SessionRest, total=False):
    id: str | OtherField | StringFilter
    sessionToken: str | OtherField | StringFilter

class SessionData(TypedDict):
    id: NotRequired[str]
    sessionToken: str
    userId: NotRequired[str]
    expires: datetime | str

class SessionCreate(SessionData, total=False):
    user: UserNewOne

class SessionChanges(TypedDict, total=False):
    id: str | SetTo[str]
    sessionToken: str | SetTo[str]
    userId: str | SetTo[str]
    expires: datetime | str | SetTo[datetime | str]

class SessionUpdate(SessionChanges, total=False):
    user: UserEditOne

class SessionNewMany(NewMany[SessionCreate, SessionData, SessionUnique], total=False): ...
class SessionEditMany(
    EditMany[
        SessionCreate,
        SessionData,
        SessionUpdate,
        SessionChanges,
        SessionUnique,
        SessionWhere,
    ],
    total=False,
): ...
class SessionShownMany(
    ShownMany[
        SessionWhere,
        SessionUnique,
        SessionOrder,
        SessionInclude,
        SessionSelect,
        SessionField,
    ],
    total=False,
): ...

class SessionInclude(TypedDict, total=False):
    user: bool | UserShownOne

class SessionSelect(SessionInclude, total=False):
    id: bool
    sessionToken: bool
    userId: bool
    expires: bool

class SessionOrder(TypedDict, total=False):
    id: Sort
    sessionToken: Sort
    userId: Sort
    expires: Sort
    user: UserOrder

class SessionActions(
    Actions[
        Session,
        SessionField,
        SessionWhere,
        SessionUnique,
        SessionCreate,
        SessionData,
        SessionUpdate,
        SessionChanges,
        SessionOrder,
        SessionInclude,
        SessionSelect,
    ],
): ...
class SessionAsyncActions(
    AsyncActions[
        Session,
        SessionField,
        SessionWhere,
        SessionUnique,
        SessionCreate,
        SessionData,
        SessionUpdate,
        SessionChanges,
        SessionOrder,
        SessionInclude,
        SessionSelect,
    ],
): ...

class VerificationToken(BareRecord, frozen=True, kw_only=True):
    """A one-time token sent by mail."""

    identifier: str
    token: str
    expires: DateTime

VerificationTokenField: TypeAlias = Literal["identifier", "token", "expires"]

class VerificationToken_identifier_token(TypedDict):
    identifier: str
    token: str

class VerificationTokenRest(TypedDict, total=False):
    AND: VerificationTokenWhere | Sequence[VerificationTokenWhere]
    NOT: VerificationTokenWhere | Sequence[VerificationTokenWhere]
    OR: Sequence[VerificationTokenWhere]
    identifier: str | OtherField | StringFilter
    expires: datetime | str | OtherField | DateTimeFilter

class VerificationTokenWhere(VerificationTokenRest, total=False):
    token: str | OtherField | StringFilter
    identifier_token: VerificationToken_identifier_token

class VerificationTokenUnique(VerificationTokenRest, total=False):
    token: str | OtherField | StringFilter
    identifier_token: VerificationToken_identifier_token

class VerificationTokenData(TypedDict):
    identifier: str
    token: str
    expires: datetime | str

class VerificationTokenCreate(VerificationTokenData, total=False): ...

class VerificationTokenChanges(TypedDict, total=False):
    identifier: str | SetTo[str]
    token: str | SetTo[str]
    expires: datetime | str | SetTo[datetime | str]

class VerificationTokenUpdate(VerificationTokenChanges, total=False): ...
class VerificationTokenInclude(TypedDict, total=False): ...

class VerificationTokenSelect(VerificationTokenInclude, total=False):
    identifier: bool
    token: bool
    expires: bool

class VerificationTokenOrder(TypedDict, total=False):
    identifier: Sort
    token: Sort
    expires: Sort

class VerificationTokenActions(
    Actions[
        VerificationToken,
        VerificationTokenField,
        VerificationTokenWhere,
        VerificationTokenUnique,
        VerificationTokenCreate,
        VerificationTokenData,
        VerificationTokenUpdate,
        VerificationTokenChanges,
        VerificationTokenOrder,
        VerificationTokenInclude,
        VerificationTokenSelect,
    ],
): ...
class VerificationTokenAsyncActions(
    AsyncActions[
        VerificationToken,
        VerificationTokenField,
        VerificationTokenWhere,
        VerificationTokenUnique,
        VerificationTokenCreate,
        VerificationTokenData,
        VerificationTokenUpdate,
        VerificationTokenChanges,
        VerificationTokenOrder,
        VerificationTokenInclude,
        VerificationTokenSelect,
    ],
): ...

class ApiKey(BareRecord, frozen=True, kw_only=True):
    """A key for a provider's API, encrypted for its user."""

    id: str
    userId: str
    provider: Provider
    label: str
    keyEncrypted: str
    keyIv: str
    keyAuthTag: str
    isActive: bool
    lastUsed: DateTime | None
    createdAt: DateTime
    updatedAt: DateTime
    user: User
    connectionProfiles: list[ConnectionProfile]
    imageProfiles: list[ImageProfile]
    _count: Counts

ApiKeyField: TypeAlias = Literal[
    "id",
    "userId",
    "provider",
    "label",
    "keyEncrypted",
    "keyIv",
    "keyAuthTag",
    "isActive",
    "lastUsed",
    "createdAt",
    "updatedAt",
]

class ApiKeyRest(TypedDict, total=False):
    AND: ApiKeyWhere | Sequence[ApiKeyWhere]
    NOT: ApiKeyWhere | Sequence[ApiKeyWhere]
    OR: Sequence[ApiKeyWhere]
    userId: str | OtherField | StringFilter
    provider: Provider | OtherField | ProviderFilter
    label: str | OtherField | StringFilter
    keyEncrypted: str | OtherField | StringFilter
    keyIv: str | OtherField | StringFilter
    keyAuthTag: str | OtherField | StringFilter
    isActive: bool | OtherField | BooleanFilter
    lastUsed: datetime | str | OtherField | DateTimeOrNullFilter | None
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    user: UserOne
    connectionProfiles: ListFilter[ConnectionProfileWhere]
    imageProfiles: ListFilter[ImageProfileWhere]

class ApiKeyWhere(ApiKeyRest, total=False):
    id: str | OtherField | StringFilter

class ApiKeyUnique(ApiKeyRest):
    id: str

ApiKeyIs = TypedDict(
    "ApiKeyIs",
    {
        "is": ApiKeyWhere | None,
        "is_not": ApiKeyWhere | None,
        "isNot": ApiKeyWhere | None,
    },
    total=False,
)

class ApiKeyOne(ApiKeyWhere, ApiKeyIs, total=False): ...

class ApiKeyData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    provider: Provider
    label: str
    keyEncrypted: str
    keyIv: str
    keyAuthTag: str
    isActive: NotRequired[bool]
    lastUsed: NotRequired[datetime | str | None]
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class ApiKeyCreate(ApiKeyData, total=False):
    user: UserNewOne
    connectionProfiles: ConnectionProfileNewMany
    imageProfiles: ImageProfileNewMany

class ApiKeyChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    provider: Provider | SetTo[Provider]
    label: str | SetTo[str]
    keyEncrypted: str | SetTo[str]
    keyIv: str | SetTo[str]
    keyAuthTag: str | SetTo[str]
    isActive: bool | SetTo[bool]
    lastUsed: datetime | str | SetTo[datetime | str | None] | None
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class ApiKeyUpdate(ApiKeyChanges, total=False):
    user: UserEditOne
    connectionProfiles: ConnectionProfileEditMany
    imageProfiles: ImageProfileEditMany

class ApiKeyNewOne(NewOne[ApiKeyCreate, ApiKeyUnique], total=False): ...
class ApiKeyNewMany(NewMany[ApiKeyCreate, ApiKeyData, ApiKeyUnique], total=False): ...
class ApiKeyEditOptional(
    EditOptional[
        ApiKeyCreate,
        ApiKeyUpdate,
        ApiKeyUnique,
        ApiKeyWhere,
    ],
    total=False,
): ...
class ApiKeyEditMany(
    EditMany[
        ApiKeyCreate,
        ApiKeyData,
        ApiKeyUpdate,
        ApiKeyChanges,
        ApiKeyUnique,
        ApiKeyWhere,
    ],
    total=False,
): ...
class ApiKeyShownOne(
    ShownOne[
        ApiKeyWhere,
        ApiKeyInclude,
        ApiKeySelect,
        ApiKeyField,
    ],
    total=False,
): ...
class ApiKeyShownMany(
    ShownMany[
        ApiKeyWhere,
        ApiKeyUnique,
        ApiKeyOrder,
        ApiKeyInclude,
        ApiKeySelect,
        ApiKeyField,
    ],
    total=False,
): ...

class ApiKeyCounted(TypedDict, total=False):
    connectionProfiles: bool | CountWhere[ConnectionProfileWhere]
    imageProfiles: bool | CountWhere[ImageProfileWhere]

class ApiKeyInclude(TypedDict, total=False):
    user: bool | UserShownOne
    connectionProfiles: bool | ConnectionProfileShownMany
    imageProfiles: bool | ImageProfileShownMany
    _count: bool | CountSelect[ApiKeyCounted]

class ApiKeySelect(ApiKeyInclude, total=False):
    id: bool
    userId: bool
    provider: bool
    label: bool
    keyEncrypted: bool
    keyIv: bool
    keyAuthTag: bool
    isActive: bool
    lastUsed: bool
    createdAt: bool
    updatedAt: bool

class ApiKeyOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    provider: Sort
    label: Sort
    keyEncrypted: Sort
    keyIv: Sort
    keyAuthTag: Sort
    isActive: Sort
    lastUsed: Sort | SortNulls
    createdAt: Sort
    updatedAt: Sort
    user: UserOrder
    connectionProfiles: SortCount
    imageProfiles: SortCount

class ApiKeyActions(
    Actions[
        ApiKey,
        ApiKeyField,
        ApiKeyWhere,
        ApiKeyUnique,
        ApiKeyCreate,
        ApiKeyData,
        ApiKeyUpdate,
        ApiKeyChanges,
        ApiKeyOrder,
        ApiKeyInclude,
        ApiKeySelect,
    ],
): ...
class ApiKeyAsyncActions(
    AsyncActions[
        ApiKey,
        ApiKeyField,
        ApiKeyWhere,
        ApiKeyUnique,
        ApiKeyCreate,
        ApiKeyData,
        ApiKeyUpdate,
        ApiKeyChanges,
        ApiKeyOrder,
        ApiKeyInclude,
        ApiKeySelect,
    ],
): ...

class ConnectionProfile(BareRecord, frozen=True, kw_only=True):
    """Which provider, model and key a chat talks to."""

    id: str
    userId: str
    name: str
    provider: Provider
    apiKeyId: str | None
    baseUrl: str | None
    modelName: str
    parameters: Any
    isDefault: bool
    createdAt: DateTime
    updatedAt: DateTime
    user: User
    apiKey: ApiKey | None
    chats: list[Chat]
    tags: list[ConnectionProfileTag]
    _count: Counts

ConnectionProfileField: TypeAlias = Literal[
    "id",
    "userId",
    "name",
    "provider",
    "apiKeyId",
    "baseUrl",
    "modelName",
    "parameters",
    "isDefault",
    "createdAt",
    "updatedAt",
]

class ConnectionProfileRest(TypedDict, total=False):
    AND: ConnectionProfileWhere | Sequence[ConnectionProfileWhere]
    NOT: ConnectionProfileWhere | Sequence[ConnectionProfileWhere]
    OR: Sequence[ConnectionProfileWhere]
    userId: str | OtherField | StringFilter
    name: str | OtherField | StringFilter
    provider: Provider | OtherField | ProviderFilter
    apiKeyId: str | OtherField | StringOrNullFilter | None
    baseUrl: str | OtherField | StringOrNullFilter | None
    modelName: str | OtherField | StringFilter
    parameters: JsonFilter
    isDefault: bool | OtherField | BooleanFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    user: UserOne
    apiKey: ApiKeyOne | None
    chats: ListFilter[ChatWhere]
    tags: ListFilter[ConnectionProfileTagWhere]

class ConnectionProfileWhere(ConnectionProfileRest, total=False):
    id: str | OtherField | StringFilter

class ConnectionProfileUnique(ConnectionProfileRest):
    id: str

ConnectionProfileIs = TypedDict(
    "ConnectionProfileIs",
    {
        "is": ConnectionProfileWhere | None,
        "is_not": ConnectionProfileWhere | None,
        "isNot": ConnectionProfileWhere | None,
    },
    total=False,
)

class ConnectionProfileOne(ConnectionProfileWhere, ConnectionProfileIs, total=False): ...

class ConnectionProfileData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    name: str
    provider: Provider
    apiKeyId: NotRequired[str | None]
    baseUrl: NotRequired[str | None]
    modelName: str
    parameters: NotRequired[Any]
    isDefault: NotRequired[bool]
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class ConnectionProfileCreate(ConnectionProfileData, total=False):
    user: UserNewOne
    apiKey: ApiKeyNewOne
    chats: ChatNewMany
    tags: ConnectionProfileTagNewMany

class ConnectionProfileChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    name: str | SetTo[str]
    provider: Provider | SetTo[Provider]
    apiKeyId: str | SetTo[str | None] | None
    baseUrl: str | SetTo[str | None] | None
    modelName: str | SetTo[str]
    parameters: Any
    isDefault: bool | SetTo[bool]
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class ConnectionProfileUpdate(ConnectionProfileChanges, total=False):
    user: UserEditOne
    apiKey: ApiKeyEditOptional
    chats: ChatEditMany
    tags: ConnectionProfileTagEditMany

class ConnectionProfileNewOne(NewOne[ConnectionProfileCreate, ConnectionProfileUnique], total=False): ...
class ConnectionProfileNewMany(
    NewMany[
        ConnectionProfileCreate,
        ConnectionProfileData,
        ConnectionProfileUnique,
    ],
    total=False,
): ...
class ConnectionProfileEditOne(
    EditOne[
        ConnectionProfileCreate,
        ConnectionProfileUpdate,
        ConnectionProfileUnique,
        ConnectionProfileWhere,
    ],
    total=False,
): ...
class ConnectionProfileEditMany(
    EditMany[
        ConnectionProfileCreate,
        ConnectionProfileData,
        ConnectionProfileUpdate,
        ConnectionProfileChanges,
        ConnectionProfileUnique,
        ConnectionProfileWhere,
    ],
    total=False,
): ...
class ConnectionProfileShownOne(
    ShownOne[
        ConnectionProfileWhere,
        ConnectionProfileInclude,
        ConnectionProfileSelect,
        ConnectionProfileField,
    ],
    total=False,
): ...
class ConnectionProfileShownMany(
    ShownMany[
        ConnectionProfileWhere,
        ConnectionProfileUnique,
        ConnectionProfileOrder,
        ConnectionProfileInclude,
        ConnectionProfileSelect,
        ConnectionProfileField,
    ],
    total=False,
): ...

class ConnectionProfileCounted(TypedDict, total=False):
    chats: bool | CountWhere[ChatWhere]
    tags: bool | CountWhere[ConnectionProfileTagWhere]

class ConnectionProfileInclude(TypedDict, total=False):
    user: bool | UserShownOne
    apiKey: bool | ApiKeyShownOne
    chats: bool | ChatShownMany
    tags: bool | ConnectionProfileTagShownMany
    _count: bool | CountSelect[ConnectionProfileCounted]

class ConnectionProfileSelect(ConnectionProfileInclude, total=False):
    id: bool
    userId: bool
    name: bool
    provider: bool
    apiKeyId: bool
    baseUrl: bool
    modelName: bool
    parameters: bool
    isDefault: bool
    createdAt: bool
    updatedAt: bool

class ConnectionProfileOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    name: Sort
    provider: Sort
    apiKeyId: Sort | SortNulls
    baseUrl: Sort | SortNulls
    modelName: Sort
    parameters: Sort
    isDefault: Sort
    createdAt: Sort
    updatedAt: Sort
    user: UserOrder
    apiKey: ApiKeyOrder
    chats: SortCount
    tags: SortCount

class ConnectionProfileActions(
    Actions[
        ConnectionProfile,
        ConnectionProfileField,
        ConnectionProfileWhere,
        ConnectionProfileUnique,
        ConnectionProfileCreate,
        ConnectionProfileData,
        ConnectionProfileUpdate,
        ConnectionProfileChanges,
        ConnectionProfileOrder,
        ConnectionProfileInclude,
        ConnectionProfileSelect,
    ],
): ...
class ConnectionProfileAsyncActions(
    AsyncActions[
        ConnectionProfile,
        ConnectionProfileField,
        ConnectionProfileWhere,
        ConnectionProfileUnique,
        ConnectionProfileCreate,
        ConnectionProfileData,
        ConnectionProfileUpdate,
        ConnectionProfileChanges,
        ConnectionProfileOrder,
        ConnectionProfileInclude,
        ConnectionProfileSelect,
    ],
): ...

class Character(BareRecord, frozen=True, kw_only=True):
    """Somebody to chat with."""

    id: str
    userId: str
    name: str
    title: str | None
    description: str
    personality: str
    scenario: str
    firstMessage: str
    exampleDialogues: str | None
    systemPrompt: str | None
    avatarUrl: str | None
    defaultImageId: str | None
    sillyTavernData: Any
    isFavorite: bool
    createdAt: DateTime
    updatedAt: DateTime
    user: User
    defaultImage: Image | None
    personas: list[CharacterPersona]
    chats: list[Chat]
    avatarOverrides: list[ChatAvatarOverride]
    tags: list[CharacterTag]
    _count: Counts

CharacterField: TypeAlias = Literal[
    "id",
    "userId",
    "name",
    "title",
    "description",
    "personality",
    "scenario",
    "firstMessage",
    "exampleDialogues",
    "systemPrompt",
    "avatarUrl",
    "defaultImageId",
    "sillyTavernData",
    "isFavorite",
    "createdAt",
    "updatedAt",
]

class CharacterRest(TypedDict, total=False):
    AND: CharacterWhere | Sequence[CharacterWhere]
    NOT: CharacterWhere | Sequence[CharacterWhere]
    OR: Sequence[CharacterWhere]
    userId: str | OtherField | StringFilter
    name: str | OtherField | StringFilter
    title: str | OtherField | StringOrNullFilter | None
    description: str | OtherField | StringFilter
    personality: str | OtherField | StringFilter
    scenario: str | OtherField | StringFilter
    firstMessage: str | OtherField | StringFilter
    exampleDialogues: str | OtherField | StringOrNullFilter | None
    systemPrompt: str | OtherField | StringOrNullFilter | None
    avatarUrl: str | OtherField | StringOrNullFilter | None
    defaultImageId: str | OtherField | StringOrNullFilter | None
    sillyTavernData: JsonFilter
    isFavorite: bool | OtherField | BooleanFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    user: UserOne
    defaultImage: ImageOne | None
    personas: ListFilter[CharacterPersonaWhere]
    chats: ListFilter[ChatWhere]
    avatarOverrides: ListFilter[ChatAvatarOverrideWhere]
    tags: ListFilter[CharacterTagWhere]

class CharacterWhere(CharacterRest, total=False):
    id: str | OtherField | StringFilter

class CharacterUnique(CharacterRest):
    id: str

CharacterIs = TypedDict(
    "CharacterIs",
    {
        "is": CharacterWhere | None,
        "is_not": CharacterWhere | None,
        "isNot": CharacterWhere | None,
    },
    total=False,
)

class CharacterOne(CharacterWhere, CharacterIs, total=False): ...

class CharacterData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    name: str
    title: NotRequired[str | None]
    description: str
    personality: str
    scenario: str
    firstMessage: str
    exampleDialogues: NotRequired[str | None]
    systemPrompt: NotRequired[str | None]
    avatarUrl: NotRequired[str | None]
    defaultImageId: NotRequired[str | None]
    sillyTavernData: NotRequired[Any]
    isFavorite: NotRequired[bool]
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class CharacterCreate(CharacterData, total=False):
    user: UserNewOne
    defaultImage: ImageNewOne
    personas: CharacterPersonaNewMany
    chats: ChatNewMany
    avatarOverrides: ChatAvatarOverrideNewMany
    tags: CharacterTagNewMany

class CharacterChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    name: str | SetTo[str]
    title: str | SetTo[str | None] | None
    description: str | SetTo[str]
    personality: str | SetTo[str]
    scenario: str | SetTo[str]
    firstMessage: str | SetTo[str]
    exampleDialogues: str | SetTo[str | None] | None
    systemPrompt: str | SetTo[str | None] | None
    avatarUrl: str | SetTo[str | None] | None
    defaultImageId: str | SetTo[str | None] | None
    sillyTavernData: Any
    isFavorite: bool | SetTo[bool]
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class CharacterUpdate(CharacterChanges, total=False):
    user: UserEditOne
    defaultImage: ImageEditOptional
    personas: CharacterPersonaEditMany
    chats: ChatEditMany
    avatarOverrides: ChatAvatarOverrideEditMany
    tags: CharacterTagEditMany

class CharacterNewOne(NewOne[CharacterCreate, CharacterUnique], total=False): ...
class CharacterNewMany(NewMany[CharacterCreate, CharacterData, CharacterUnique], total=False): ...
class CharacterEditOne(
    EditOne[
        CharacterCreate,
        CharacterUpdate,
        CharacterUnique,
        CharacterWhere,
    ],
    total=False,
): ...
class CharacterEditMany(
    EditMany[
        CharacterCreate,
        CharacterData,
        CharacterUpdate,
        CharacterChanges,
        CharacterUnique,
        CharacterWhere,
    ],
    total=False,
): ...
class CharacterShownOne(
    ShownOne[
        CharacterWhere,
        CharacterInclude,
        CharacterSelect,
        CharacterField,
    ],
    total=False,
): ...
class CharacterShownMany(
    ShownMany[
        CharacterWhere,
        CharacterUnique,
        CharacterOrder,
        CharacterInclude,
        CharacterSelect,
        CharacterField,
    ],
    total=False,
): ...

class CharacterCounted(TypedDict, total=False):
    personas: bool | CountWhere[CharacterPersonaWhere]
    chats: bool | CountWhere[ChatWhere]
    avatarOverrides: bool | CountWhere[ChatAvatarOverrideWhere]
    tags: bool | CountWhere[CharacterTagWhere]

class CharacterInclude(TypedDict, total=False):
    user: bool | UserShownOne
    defaultImage: bool | ImageShownOne
    personas: bool | CharacterPersonaShownMany
    chats: bool | ChatShownMany
    avatarOverrides: bool | ChatAvatarOverrideShownMany
    tags: bool | CharacterTagShownMany
    _count: bool | CountSelect[CharacterCounted]

class CharacterSelect(CharacterInclude, total=False):
    id: bool
    userId: bool
    name: bool
    title: bool
    description: bool
    personality: bool
    scenario: bool
    firstMessage: bool
    exampleDialogues: bool
    systemPrompt: bool
    avatarUrl: bool
    defaultImageId: bool
    sillyTavernData: bool
    isFavorite: bool
    createdAt: bool
    updatedAt: bool

class CharacterOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    name: Sort
    title: Sort | SortNulls
    description: Sort
    personality: Sort
    scenario: Sort
    firstMessage: Sort
    exampleDialogues: Sort | SortNulls
    systemPrompt: Sort | SortNulls
    avatarUrl: Sort | SortNulls
    defaultImageId: Sort | SortNulls
    sillyTavernData: Sort | SortNulls
    isFavorite: Sort
    createdAt: Sort
    updatedAt: Sort
    user: UserOrder
    defaultImage: ImageOrder
    personas: SortCount
    chats: SortCount
    avatarOverrides: SortCount
    tags: SortCount

class CharacterActions(
    Actions[
        Character,
        CharacterField,
        CharacterWhere,
        CharacterUnique,
        CharacterCreate,
        CharacterData,
        CharacterUpdate,
        CharacterChanges,
        CharacterOrder,
        CharacterInclude,
        CharacterSelect,
    ],
): ...
class CharacterAsyncActions(
    AsyncActions[
        Character,
        CharacterField,
        CharacterWhere,
        CharacterUnique,
        CharacterCreate,
        CharacterData,
        CharacterUpdate,
        CharacterChanges,
        CharacterOrder,
        CharacterInclude,
        CharacterSelect,
    ],
): ...

class Persona(BareRecord, frozen=True, kw_only=True):
    """Somebody a user can be in a chat."""

    id: str
    userId: str
    name: str
    title: str | None
    description: str
    personalityTraits: str | None
    avatarUrl: str | None
    defaultImageId: str | None
    sillyTavernData: Any
    createdAt: DateTime
    updatedAt: DateTime
    user: User
    defaultImage: Image | None
    characters: list[CharacterPersona]
    chats: list[Chat]
    tags: list[PersonaTag]
    _count: Counts

PersonaField: TypeAlias = Literal[
    "id",
    "userId",
    "name",
    "title",
    "description",
    "personalityTraits",
    "avatarUrl",
    "defaultImageId",
    "sillyTavernData",
    "createdAt",
    "updatedAt",
]

class PersonaRest(TypedDict, total=False):
    AND: PersonaWhere | Sequence[PersonaWhere]
    NOT: PersonaWhere | Sequence[PersonaWhere]
    OR: Sequence[PersonaWhere]
    userId: str | OtherField | StringFilter
    name: str | OtherField | StringFilter
    title: str | OtherField | StringOrNullFilter | None
    description: str | OtherField | StringFilter
    personalityTraits: str | OtherField | StringOrNullFilter | None
    avatarUrl: str | OtherField | StringOrNullFilter | None
    defaultImageId: str | OtherField | StringOrNullFilter | None
    sillyTavernData: JsonFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    user: UserOne
    defaultImage: ImageOne | None
    characters: ListFilter[CharacterPersonaWhere]
    chats: ListFilter[ChatWhere]
    tags: ListFilter[PersonaTagWhere]

class PersonaWhere(PersonaRest, total=False):
    id: str | OtherField | StringFilter

class PersonaUnique(PersonaRest):
    id: str

PersonaIs = TypedDict(
    "PersonaIs",
    {
        "is": PersonaWhere | None,
        "is_not": PersonaWhere | None,
        "isNot": PersonaWhere | None,
    },
    total=False,
)

class PersonaOne(PersonaWhere, PersonaIs, total=False): ...

class PersonaData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    name: str
    title: NotRequired[str | None]
    description: str
    personalityTraits: NotRequired[str | None]
    avatarUrl: NotRequired[str | None]
    defaultImageId: NotRequired[str | None]
    sillyTavernData: NotRequired[Any]
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class PersonaCreate(PersonaData, total=False):
    user: UserNewOne
    defaultImage: ImageNewOne
    characters: CharacterPersonaNewMany
    chats: ChatNewMany
    tags: PersonaTagNewMany

class PersonaChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    name: str | SetTo[str]
    title: str | SetTo[str | None] | None
    description: str | SetTo[str]
    personalityTraits: str | SetTo[str | None] | None
    avatarUrl: str | SetTo[str | None] | None
    defaultImageId: str | SetTo[str | None] | None
    sillyTavernData: Any
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class PersonaUpdate(PersonaChanges, total=False):
    user: UserEditOne
    defaultImage: ImageEditOptional
    characters: CharacterPersonaEditMany
    chats: ChatEditMany
    tags: PersonaTagEditMany

class PersonaNewOne(NewOne[PersonaCreate, PersonaUnique], total=False): ...
class PersonaNewMany(NewMany[PersonaCreate, PersonaData, PersonaUnique], total=False): ...
class PersonaEditOne(
    EditOne[
        PersonaCreate,
        PersonaUpdate,
        PersonaUnique,
        PersonaWhere,
    ],
    total=False,
): ...
class PersonaEditOptional(
    EditOptional[
        PersonaCreate,
        PersonaUpdate,
        PersonaUnique,
        PersonaWhere,
    ],
    total=False,
): ...
class PersonaEditMany(
    EditMany[
        PersonaCreate,
        PersonaData,
        PersonaUpdate,
        PersonaChanges,
        PersonaUnique,
        PersonaWhere,
    ],
    total=False,
): ...
class PersonaShownOne(
    ShownOne[
        PersonaWhere,
        PersonaInclude,
        PersonaSelect,
        PersonaField,
    ],
    total=False,
): ...
class PersonaShownMany(
    ShownMany[
        PersonaWhere,
        PersonaUnique,
        PersonaOrder,
        PersonaInclude,
        PersonaSelect,
        PersonaField,
    ],
    total=False,
): ...

class PersonaCounted(TypedDict, total=False):
    characters: bool | CountWhere[CharacterPersonaWhere]
    chats: bool | CountWhere[ChatWhere]
    tags: bool | CountWhere[PersonaTagWhere]

class PersonaInclude(TypedDict, total=False):
    user: bool | UserShownOne
    defaultImage: bool | ImageShownOne
    characters: bool | CharacterPersonaShownMany
    chats: bool | ChatShownMany
    tags: bool | PersonaTagShownMany
    _count: bool | CountSelect[PersonaCounted]

class PersonaSelect(PersonaInclude, total=False):
    id: bool
    userId: bool
    name: bool
    title: bool
    description: bool
    personalityTraits: bool
    avatarUrl: bool
    defaultImageId: bool
    sillyTavernData: bool
    createdAt: bool
    updatedAt: bool

class PersonaOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    name: Sort
    title: Sort | SortNulls
    description: Sort
    personalityTraits: Sort | SortNulls
    avatarUrl: Sort | SortNulls
    defaultImageId: Sort | SortNulls
    sillyTavernData: Sort | SortNulls
    createdAt: Sort
    updatedAt: Sort
    user: UserOrder
    defaultImage: ImageOrder
    characters: SortCount
    chats: SortCount
    tags: SortCount

class PersonaActions(
    Actions[
        Persona,
        PersonaField,
        PersonaWhere,
        PersonaUnique,
        PersonaCreate,
        PersonaData,
        PersonaUpdate,
        PersonaChanges,
        PersonaOrder,
        PersonaInclude,
        PersonaSelect,
    ],
): ...
class PersonaAsyncActions(
    AsyncActions[
        Persona,
        PersonaField,
        PersonaWhere,
        PersonaUnique,
        PersonaCreate,
        PersonaData,
        PersonaUpdate,
        PersonaChanges,
        PersonaOrder,
        PersonaInclude,
        PersonaSelect,
    ],
): ...

class CharacterPersona(BareRecord, frozen=True, kw_only=True):
    """A persona that goes with a character."""

    characterId: str
    personaId: str
    isDefault: bool
    character: Character
    persona: Persona

CharacterPersonaField: TypeAlias = Literal["characterId", "personaId", "isDefault"]

class CharacterPersona_characterId_personaId(TypedDict):
    characterId: str
    personaId: str

class CharacterPersonaRest(TypedDict, total=False):
    AND: CharacterPersonaWhere | Sequence[CharacterPersonaWhere]
    NOT: CharacterPersonaWhere | Sequence[CharacterPersonaWhere]
    OR: Sequence[CharacterPersonaWhere]
    characterId: str | OtherField | StringFilter
    personaId: str | OtherField | StringFilter
    isDefault: bool | OtherField | BooleanFilter
    character: CharacterOne
    persona: PersonaOne

class CharacterPersonaWhere(CharacterPersonaRest, total=False):
    characterId_personaId: CharacterPersona_characterId_personaId

class CharacterPersonaUnique(CharacterPersonaRest):
    characterId_personaId: CharacterPersona_characterId_personaId

class CharacterPersonaData(TypedDict):
    characterId: NotRequired[str]
    personaId: NotRequired[str]
    isDefault: NotRequired[bool]

class CharacterPersonaCreate(CharacterPersonaData, total=False):
    character: CharacterNewOne
    persona: PersonaNewOne

class CharacterPersonaChanges(TypedDict, total=False):
    characterId: str | SetTo[str]
    personaId: str | SetTo[str]
    isDefault: bool | SetTo[bool]

class CharacterPersonaUpdate(CharacterPersonaChanges, total=False):
    character: CharacterEditOne
    persona: PersonaEditOne

class CharacterPersonaNewMany(
    NewMany[
        CharacterPersonaCreate,
        CharacterPersonaData,
        CharacterPersonaUnique,
    ],
    total=False,
): ...
class CharacterPersonaEditMany(
    EditMany[
        CharacterPersonaCreate,
        CharacterPersonaData,
        CharacterPersonaUpdate,
        CharacterPersonaChanges,
        CharacterPersonaUnique,
        CharacterPersonaWhere,
    ],
    total=False,
): ...
class CharacterPersonaShownMany(
    ShownMany[
        CharacterPersonaWhere,
        CharacterPersonaUnique,
        CharacterPersonaOrder,
        CharacterPersonaInclude,
        CharacterPersonaSelect,
        CharacterPersonaField,
    ],
    total=False,
): ...

class CharacterPersonaInclude(TypedDict, total=False):
    character: bool | CharacterShownOne
    persona: bool | PersonaShownOne

class CharacterPersonaSelect(CharacterPersonaInclude, total=False):
    characterId: bool
    personaId: bool
    isDefault: bool

class CharacterPersonaOrder(TypedDict, total=False):
    characterId: Sort
    personaId: Sort
    isDefault: Sort
    character: CharacterOrder
    persona: PersonaOrder

class CharacterPersonaActions(
    Actions[
        CharacterPersona,
        CharacterPersonaField,
        CharacterPersonaWhere,
        CharacterPersonaUnique,
        CharacterPersonaCreate,
        CharacterPersonaData,
        CharacterPersonaUpdate,
        CharacterPersonaChanges,
        CharacterPersonaOrder,
        CharacterPersonaInclude,
        CharacterPersonaSelect,
    ],
): ...
class CharacterPersonaAsyncActions(
    AsyncActions[
        CharacterPersona,
        CharacterPersonaField,
        CharacterPersonaWhere,
        CharacterPersonaUnique,
        CharacterPersonaCreate,
        CharacterPersonaData,
        CharacterPersonaUpdate,
        CharacterPersonaChanges,
        CharacterPersonaOrder,
        CharacterPersonaInclude,
        CharacterPersonaSelect,
    ],
): ...

class Chat(BareRecord, frozen=True, kw_only=True):
    """A conversation of a user with a character."""

    id: str
    userId: str
    characterId: str
    personaId: str | None
    connectionProfileId: str
    imageProfileId: str | None
    title: str
    contextSummary: str | None
    sillyTavernMetadata: Any
    createdAt: DateTime
    updatedAt: DateTime
    user: User
    character: Character
    persona: Persona | None
    connectionProfile: ConnectionProfile
    imageProfile: ImageProfile | None
    messages: list[Message]
    files: list[ChatFile]
    avatarOverrides: list[ChatAvatarOverride]
    tags: list[ChatTag]
    _count: Counts

ChatField: TypeAlias = Literal[
    "id",
    "userId",
    "characterId",
    "personaId",
    "connectionProfileId",
    "imageProfileId",
    "title",
    "contextSummary",
    "sillyTavernMetadata",
    "createdAt",
    "updatedAt",
]

class ChatRest(TypedDict, total=False):
    AND: ChatWhere | Sequence[ChatWhere]
    NOT: ChatWhere | Sequence[ChatWhere]
    OR: Sequence[ChatWhere]
    userId: str | OtherField | StringFilter
    characterId: str | OtherField | StringFilter
    personaId: str | OtherField | StringOrNullFilter | None
    connectionProfileId: str | OtherField | StringFilter
    imageProfileId: str | OtherField | StringOrNullFilter | None
    title: str | OtherField | StringFilter
    contextSummary: str | OtherField | StringOrNullFilter | None
    sillyTavernMetadata: JsonFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    user: UserOne
    character: CharacterOne
    persona: PersonaOne | None
    connectionProfile: ConnectionProfileOne
    imageProfile: ImageProfileOne | None
    messages: ListFilter[MessageWhere]
    files: ListFilter[ChatFileWhere]
    avatarOverrides: ListFilter[ChatAvatarOverrideWhere]
    tags: ListFilter[ChatTagWhere]

class ChatWhere(ChatRest, total=False):
    id: str | OtherField | StringFilter

class ChatUnique(ChatRest):
    id: str

ChatIs = TypedDict(
    "ChatIs",
    {
        "is": ChatWhere | None,
        "is_not": ChatWhere | None,
        "isNot": ChatWhere | None,
    },
    total=False,
)

class ChatOne(ChatWhere, ChatIs, total=False): ...

class ChatData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    characterId: NotRequired[str]
    personaId: NotRequired[str | None]
    connectionProfileId: NotRequired[str]
    imageProfileId: NotRequired[str | None]
    title: str
    contextSummary: NotRequired[str | None]
    sillyTavernMetadata: NotRequired[Any]
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class ChatCreate(ChatData, total=False):
    user: UserNewOne
    character: CharacterNewOne
    persona: PersonaNewOne
    connectionProfile: ConnectionProfileNewOne
    imageProfile: ImageProfileNewOne
    messages: MessageNewMany
    files: ChatFileNewMany
    avatarOverrides: ChatAvatarOverrideNewMany
    tags: ChatTagNewMany

class ChatChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    characterId: str | SetTo[str]
    personaId: str | SetTo[str | None] | None
    connectionProfileId: str | SetTo[str]
    imageProfileId: str | SetTo[str | None] | None
    title: str | SetTo[str]
    contextSummary: str | SetTo[str | None] | None
    sillyTavernMetadata: Any
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class ChatUpdate(ChatChanges, total=False):
    user: UserEditOne
    character: CharacterEditOne
    persona: PersonaEditOptional
    connectionProfile: ConnectionProfileEditOne
    imageProfile: ImageProfileEditOptional
    messages: MessageEditMany
    files: ChatFileEditMany
    avatarOverrides: ChatAvatarOverrideEditMany
    tags: ChatTagEditMany

class ChatNewOne(NewOne[ChatCreate, ChatUnique], total=False): ...
class ChatNewMany(NewMany[ChatCreate, ChatData, ChatUnique], total=False): ...
class ChatEditOne(EditOne[ChatCreate, ChatUpdate, ChatUnique, ChatWhere], total=False): ...
class ChatEditMany(
    EditMany[
        ChatCreate,
        ChatData,
        ChatUpdate,
        ChatChanges,
        ChatUnique,
        ChatWhere,
    ],
    total=False,
): ...
class ChatShownOne(ShownOne[ChatWhere, ChatInclude, ChatSelect, ChatField], total=False): ...
class ChatShownMany(
    ShownMany[
        ChatWhere,
        ChatUnique,
        ChatOrder,
        ChatInclude,
        ChatSelect,
        ChatField,
    ],
    total=False,
): ...

class ChatCounted(TypedDict, total=False):
    messages: bool | CountWhere[MessageWhere]
    files: bool | CountWhere[ChatFileWhere]
    avatarOverrides: bool | CountWhere[ChatAvatarOverrideWhere]
    tags: bool | CountWhere[ChatTagWhere]

class ChatInclude(TypedDict, total=False):
    user: bool | UserShownOne
    character: bool | CharacterShownOne
    persona: bool | PersonaShownOne
    connectionProfile: bool | ConnectionProfileShownOne
    imageProfile: bool | ImageProfileShownOne
    messages: bool | MessageShownMany
    files: bool | ChatFileShownMany
    avatarOverrides: bool | ChatAvatarOverrideShownMany
    tags: bool | ChatTagShownMany
    _count: bool | CountSelect[ChatCounted]

class ChatSelect(ChatInclude, total=False):
    id: bool
    userId: bool
    characterId: bool
    personaId: bool
    connectionProfileId: bool
    imageProfileId: bool
    title: bool
    contextSummary: bool
    sillyTavernMetadata: bool
    createdAt: bool
    updatedAt: bool

class ChatOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    characterId: Sort
    personaId: Sort | SortNulls
    connectionProfileId: Sort
    imageProfileId: Sort | SortNulls
    title: Sort
    contextSummary: Sort | SortNulls
    sillyTavernMetadata: Sort | SortNulls
    createdAt: Sort
    updatedAt: Sort
    user: UserOrder
    character: CharacterOrder
    persona: PersonaOrder
    connectionProfile: ConnectionProfileOrder
    imageProfile: ImageProfileOrder
    messages: SortCount
    files: SortCount
    avatarOverrides: SortCount
    tags: SortCount

class ChatActions(
    Actions[
        Chat,
        ChatField,
        ChatWhere,
        ChatUnique,
        ChatCreate,
        ChatData,
        ChatUpdate,
        ChatChanges,
        ChatOrder,
        ChatInclude,
        ChatSelect,
    ],
): ...
class ChatAsyncActions(
    AsyncActions[
        Chat,
        ChatField,
        ChatWhere,
        ChatUnique,
        ChatCreate,
        ChatData,
        ChatUpdate,
        ChatChanges,
        ChatOrder,
        ChatInclude,
        ChatSelect,
    ],
): ...

class Message(BareRecord, frozen=True, kw_only=True):
    """One message."""

    id: str
    chatId: str
    role: Role
    content: str
    rawResponse: Any
    tokenCount: int | None
    swipeGroupId: str | None
    swipeIndex: int | None
    createdAt: DateTime
    chat: Chat
    attachments: list[ChatFile]
    _count: Counts

MessageField: TypeAlias = Literal[
    "id",
    "chatId",
    "role",
    "content",
    "rawResponse",
    "tokenCount",
    "swipeGroupId",
    "swipeIndex",
    "createdAt",
]

class MessageRest(TypedDict, total=False):
    AND: MessageWhere | Sequence[MessageWhere]
    NOT: MessageWhere | Sequence[MessageWhere]
    OR: Sequence[MessageWhere]
    chatId: str | OtherField | StringFilter
    role: Role | OtherField | RoleFilter
    content: str | OtherField | StringFilter
    rawResponse: JsonFilter
    tokenCount: int | OtherField | IntOrNullFilter | None
    swipeGroupId: str | OtherField | StringOrNullFilter | None
    swipeIndex: int | OtherField | IntOrNullFilter | None
    createdAt: datetime | str | OtherField | DateTimeFilter
    chat: ChatOne
    attachments: ListFilter[ChatFileWhere]

class MessageWhere(MessageRest, total=False):
    id: str | OtherField | StringFilter

class MessageUnique(MessageRest):
    id: str

MessageIs = TypedDict(
    "MessageIs",
    {
        "is": MessageWhere | None,
        "is_not": MessageWhere | None,
        "isNot": MessageWhere | None,
    },
    total=False,
)

class MessageOne(MessageWhere, MessageIs, total=False): ...

class MessageData(TypedDict):
    id: NotRequired[str]
    chatId: NotRequired[str]
    role: Role
    content: str
    rawResponse: NotRequired[Any]
    tokenCount: NotRequired[int | None]
    swipeGroupId: NotRequired[str | None]
    swipeIndex: NotRequired[int | None]
    createdAt: NotRequired[datetime | str]

class MessageCreate(MessageData, total=False):
    chat: ChatNewOne
    attachments: ChatFileNewMany

class MessageChanges(TypedDict, total=False):
    id: str | SetTo[str]
    chatId: str | SetTo[str]
    role: Role | SetTo[Role]
    content: str | SetTo[str]
    rawResponse: Any
    tokenCount: int | Arithmetic[int | None] | None
    swipeGroupId: str | SetTo[str | None] | None
    swipeIndex: int | Arithmetic[int | None] | None
    createdAt: datetime | str | SetTo[datetime | str]

class MessageUpdate(MessageChanges, total=False):
    chat: ChatEditOne
    attachments: ChatFileEditMany

class MessageNewOne(NewOne[MessageCreate, MessageUnique], total=False): ...
class MessageNewMany(NewMany[MessageCreate, MessageData, MessageUnique], total=False): ...
class MessageEditOptional(
    EditOptional[
        MessageCreate,
        MessageUpdate,
        MessageUnique,
        MessageWhere,
    ],
    total=False,
): ...
class MessageEditMany(
    EditMany[
        MessageCreate,
        MessageData,
        MessageUpdate,
        MessageChanges,
        MessageUnique,
        MessageWhere,
    ],
    total=False,
): ...
class MessageShownOne(
    ShownOne[
        MessageWhere,
        MessageInclude,
        MessageSelect,
        MessageField,
    ],
    total=False,
): ...
class MessageShownMany(
    ShownMany[
        MessageWhere,
        MessageUnique,
        MessageOrder,
        MessageInclude,
        MessageSelect,
        MessageField,
    ],
    total=False,
): ...

class MessageCounted(TypedDict, total=False):
    attachments: bool | CountWhere[ChatFileWhere]

class MessageInclude(TypedDict, total=False):
    chat: bool | ChatShownOne
    attachments: bool | ChatFileShownMany
    _count: bool | CountSelect[MessageCounted]

class MessageSelect(MessageInclude, total=False):
    id: bool
    chatId: bool
    role: bool
    content: bool
    rawResponse: bool
    tokenCount: bool
    swipeGroupId: bool
    swipeIndex: bool
    createdAt: bool

class MessageOrder(TypedDict, total=False):
    id: Sort
    chatId: Sort
    role: Sort
    content: Sort
    rawResponse: Sort | SortNulls
    tokenCount: Sort | SortNulls
    swipeGroupId: Sort | SortNulls
    swipeIndex: Sort | SortNulls
    createdAt: Sort
    chat: ChatOrder
    attachments: SortCount

class MessageActions(
    Actions[
        Message,
        MessageField,
        MessageWhere,
        MessageUnique,
        MessageCreate,
        MessageData,
        MessageUpdate,
        MessageChanges,
        MessageOrder,
        MessageInclude,
        MessageSelect,
    ],
): ...
class MessageAsyncActions(
    AsyncActions[
        Message,
        MessageField,
        MessageWhere,
        MessageUnique,
        MessageCreate,
        MessageData,
        MessageUpdate,
        MessageChanges,
        MessageOrder,
        MessageInclude,
        MessageSelect,
    ],
): ...

class ChatFile(BareRecord, frozen=True, kw_only=True):
    """A file attached to a chat."""

    id: str
    chatId: str
    messageId: str | None
    filename: str
    filepath: str
    mimeType: str
    size: int
    width: int | None
    height: int | None
    sentToProvider: bool
    providerError: str | None
    createdAt: DateTime
    chat: Chat
    message: Message | None

ChatFileField: TypeAlias = Literal[
    "id",
    "chatId",
    "messageId",
    "filename",
    "filepath",
    "mimeType",
    "size",
    "width",
    "height",
    "sentToProvider",
    "providerError",
    "createdAt",
]

class ChatFileRest(TypedDict, total=False):
    AND: ChatFileWhere | Sequence[ChatFileWhere]
    NOT: ChatFileWhere | Sequence[ChatFileWhere]
    OR: Sequence[ChatFileWhere]
    chatId: str | OtherField | StringFilter
    messageId: str | OtherField | StringOrNullFilter | None
    filename: str | OtherField | StringFilter
    filepath: str | OtherField | StringFilter
    mimeType: str | OtherField | StringFilter
    size: int | OtherField | IntFilter
    width: int | OtherField | IntOrNullFilter | None
    height: int | OtherField | IntOrNullFilter | None
    sentToProvider: bool | OtherField | BooleanFilter
    providerError: str | OtherField | StringOrNullFilter | None
    createdAt: datetime | str | OtherField | DateTimeFilter
    chat: ChatOne
    message: MessageOne | None

class ChatFileWhere(ChatFileRest, total=False):
    id: str | OtherField | StringFilter

class ChatFileUnique(ChatFileRest):
    id: str

class ChatFileData(TypedDict):
    id: NotRequired[str]
    chatId: NotRequired[str]
    messageId: NotRequired[str | None]
    filename: str
    filepath: str
    mimeType: str
    size: int
    width: NotRequired[int | None]
    height: NotRequired[int | None]
    sentToProvider: NotRequired[bool]
    providerError: NotRequired[str | None]
    createdAt: NotRequired[datetime | str]

class ChatFileCreate(ChatFileData, total=False):
    chat: ChatNewOne
    message: MessageNewOne

class ChatFileChanges(TypedDict, total=False):
    id: str | SetTo[str]
    chatId: str | SetTo[str]
    messageId: str | SetTo[str | None] | None
    filename: str | SetTo[str]
    filepath: str | SetTo[str]
    mimeType: str | SetTo[str]
    size: int | Arithmetic[int]
    width: int | Arithmetic[int | None] | None
    height: int | Arithmetic[int | None] | None
    sentToProvider: bool | SetTo[bool]
    providerError: str | SetTo[str | None] | None
    createdAt: datetime | str | SetTo[datetime | str]

class ChatFileUpdate(ChatFileChanges, total=False):
    chat: ChatEditOne
    message: MessageEditOptional

class ChatFileNewMany(NewMany[ChatFileCreate, ChatFileData, ChatFileUnique], total=False): ...
class ChatFileEditMany(
    EditMany[
        ChatFileCreate,
        ChatFileData,
        ChatFileUpdate,
        ChatFileChanges,
        ChatFileUnique,
        ChatFileWhere,
    ],
    total=False,
): ...
class ChatFileShownMany(
    ShownMany[
        ChatFileWhere,
        ChatFileUnique,
        ChatFileOrder,
        ChatFileInclude,
        ChatFileSelect,
        ChatFileField,
    ],
    total=False,
): ...

class ChatFileInclude(TypedDict, total=False):
    chat: bool | ChatShownOne
    message: bool | MessageShownOne

class ChatFileSelect(ChatFileInclude, total=False):
    id: bool
    chatId: bool
    messageId: bool
    filename: bool
    filepath: bool
    mimeType: bool
    size: bool
    width: bool
    height: bool
    sentToProvider: bool
    providerError: bool
    createdAt: bool

class ChatFileOrder(TypedDict, total=False):
    id: Sort
    chatId: Sort
    messageId: Sort | SortNulls
    filename: Sort
    filepath: Sort
    mimeType: Sort
    size: Sort
    width: Sort | SortNulls
    height: Sort | SortNulls
    sentToProvider: Sort
    providerError: Sort | SortNulls
    createdAt: Sort
    chat: ChatOrder
    message: MessageOrder

class ChatFileActions(
    Actions[
        ChatFile,
        ChatFileField,
        ChatFileWhere,
        ChatFileUnique,
        ChatFileCreate,
        ChatFileData,
        ChatFileUpdate,
        ChatFileChanges,
        ChatFileOrder,
        ChatFileInclude,
        ChatFileSelect,
    ],
): ...
class ChatFileAsyncActions(
    AsyncActions[
        ChatFile,
        ChatFileField,
        ChatFileWhere,
        ChatFileUnique,
        ChatFileCreate,
        ChatFileData,
        ChatFileUpdate,
        ChatFileChanges,
        ChatFileOrder,
        ChatFileInclude,
        ChatFileSelect,
    ],
): ...

class Image(BareRecord, frozen=True, kw_only=True):
    """An image of a user."""

    id: str
    userId: str
    filename: str
    filepath: str
    url: str | None
    mimeType: str
    size: int
    width: int | None
    height: int | None
    source: str
    generationPrompt: str | None
    generationModel: str | None
    createdAt: DateTime
    updatedAt: DateTime
    user: User
    characterDefaults: list[Character]
    personaDefaults: list[Persona]
    tags: list[ImageTag]
    avatarOverrides: list[ChatAvatarOverride]
    _count: Counts

ImageField: TypeAlias = Literal[
    "id",
    "userId",
    "filename",
    "filepath",
    "url",
    "mimeType",
    "size",
    "width",
    "height",
    "source",
    "generationPrompt",
    "generationModel",
    "createdAt",
    "updatedAt",
]

class ImageRest(TypedDict, total=False):
    AND: ImageWhere | Sequence[ImageWhere]
    NOT: ImageWhere | Sequence[ImageWhere]
    OR: Sequence[ImageWhere]
    userId: str | OtherField | StringFilter
    filename: str | OtherField | StringFilter
    filepath: str | OtherField | StringFilter
    url: str | OtherField | StringOrNullFilter | None
    mimeType: str | OtherField | StringFilter
    size: int | OtherField | IntFilter
    width: int | OtherField | IntOrNullFilter | None
    height: int | OtherField | IntOrNullFilter | None
    source: str | OtherField | StringFilter
    generationPrompt: str | OtherField | StringOrNullFilter | None
    generationModel: str | OtherField | StringOrNullFilter | None
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    user: UserOne
    characterDefaults: ListFilter[CharacterWhere]
    personaDefaults: ListFilter[PersonaWhere]
    tags: ListFilter[ImageTagWhere]
    avatarOverrides: ListFilter[ChatAvatarOverrideWhere]

class ImageWhere(ImageRest, total=False):
    id: str | OtherField | StringFilter

class ImageUnique(ImageRest):
    id: str

ImageIs = TypedDict(
    "ImageIs",
    {
        "is": ImageWhere | None,
        "is_not": ImageWhere | None,
        "isNot": ImageWhere | None,
    },
    total=False,
)

class ImageOne(ImageWhere, ImageIs, total=False): ...

class ImageData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    filename: str
    filepath: str
    url: NotRequired[str | None]
    mimeType: str
    size: int
    width: NotRequired[int | None]
    height: NotRequired[int | None]
    source: NotRequired[str]
    generationPrompt: NotRequired[str | None]
    generationModel: NotRequired[str | None]
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class ImageCreate(ImageData, total=False):
    user: UserNewOne
    characterDefaults: CharacterNewMany
    personaDefaults: PersonaNewMany
    tags: ImageTagNewMany
    avatarOverrides: ChatAvatarOverrideNewMany

class ImageChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    filename: str | SetTo[str]
    filepath: str | SetTo[str]
    url: str | SetTo[str | None] | None
    mimeType: str | SetTo[str]
    size: int | Arithmetic[int]
    width: int | Arithmetic[int | None] | None
    height: int | Arithmetic[int | None] | None
    source: str | SetTo[str]
    generationPrompt: str | SetTo[str | None] | None
    generationModel: str | SetTo[str | None] | None
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class ImageUpdate(ImageChanges, total=False):
    user: UserEditOne
    characterDefaults: CharacterEditMany
    personaDefaults: PersonaEditMany
    tags: ImageTagEditMany
    avatarOverrides: ChatAvatarOverrideEditMany

class ImageNewOne(NewOne[ImageCreate, ImageUnique], total=False): ...
class ImageNewMany(NewMany[ImageCreate, ImageData, ImageUnique], total=False): ...
class ImageEditOne(EditOne[ImageCreate, ImageUpdate, ImageUnique, ImageWhere], total=False): ...
class ImageEditOptional(
    EditOptional[
        ImageCreate,
        ImageUpdate,
        ImageUnique,
        ImageWhere,
    ],
    total=False,
): ...
class ImageEditMany(
    EditMany[
        ImageCreate,
        ImageData,
        ImageUpdate,
        ImageChanges,
        ImageUnique,
        ImageWhere,
    ],
    total=False,
): ...
class ImageShownOne(
    ShownOne[
        ImageWhere,
        ImageInclude,
        ImageSelect,
        ImageField,
    ],
    total=False,
): ...
class ImageShownMany(
    ShownMany[
        ImageWhere,
        ImageUnique,
        ImageOrder,
        ImageInclude,
        ImageSelect,
        ImageField,
    ],
    total=False,
): ...

class ImageCounted(TypedDict, total=False):
    characterDefaults: bool | CountWhere[CharacterWhere]
    personaDefaults: bool | CountWhere[PersonaWhere]
    tags: bool | CountWhere[ImageTagWhere]
    avatarOverrides: bool | CountWhere[ChatAvatarOverrideWhere]

class ImageInclude(TypedDict, total=False):
    user: bool | UserShownOne
    characterDefaults: bool | CharacterShownMany
    personaDefaults: bool | PersonaShownMany
    tags: bool | ImageTagShownMany
    avatarOverrides: bool | ChatAvatarOverrideShownMany
    _count: bool | CountSelect[ImageCounted]

class ImageSelect(ImageInclude, total=False):
    id: bool
    userId: bool
    filename: bool
    filepath: bool
    url: bool
    mimeType: bool
    size: bool
    width: bool
    height: bool
    source: bool
    generationPrompt: bool
    generationModel: bool
    createdAt: bool
    updatedAt: bool

class ImageOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    filename: Sort
    filepath: Sort
    url: Sort | SortNulls
    mimeType: Sort
    size: Sort
    width: Sort | SortNulls
    height: Sort | SortNulls
    source: Sort
    generationPrompt: Sort | SortNulls
    generationModel: Sort | SortNulls
    createdAt: Sort
    updatedAt: Sort
    user: UserOrder
    characterDefaults: SortCount
    personaDefaults: SortCount
    tags: SortCount
    avatarOverrides: SortCount

class ImageActions(
    Actions[
        Image,
        ImageField,
        ImageWhere,
        ImageUnique,
        ImageCreate,
        ImageData,
        ImageUpdate,
        ImageChanges,
        ImageOrder,
        ImageInclude,
        ImageSelect,
    ],
): ...
class ImageAsyncActions(
    AsyncActions[
        Image,
        ImageField,
        ImageWhere,
        ImageUnique,
        ImageCreate,
        ImageData,
        ImageUpdate,
        ImageChanges,
        ImageOrder,
        ImageInclude,
        ImageSelect,
    ],
): ...

class ImageTag(BareRecord, frozen=True, kw_only=True):
    """What an image shows."""

    id: str
    imageId: str
    tagType: ImageTagType
    tagId: str
    createdAt: DateTime
    image: Image

ImageTagField: TypeAlias = Literal["id", "imageId", "tagType", "tagId", "createdAt"]

class ImageTag_imageId_tagType_tagId(TypedDict):
    imageId: str
    tagType: ImageTagType
    tagId: str

class ImageTagRest(TypedDict, total=False):
    AND: ImageTagWhere | Sequence[ImageTagWhere]
    NOT: ImageTagWhere | Sequence[ImageTagWhere]
    OR: Sequence[ImageTagWhere]
    imageId: str | OtherField | StringFilter
    tagType: ImageTagType | OtherField | ImageTagTypeFilter
    tagId: str | OtherField | StringFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    image: ImageOne

class ImageTagWhere(ImageTagRest, total=False):
    id: str | OtherField | StringFilter
    imageId_tagType_tagId: ImageTag_imageId_tagType_tagId

class ImageTagUnique(ImageTagRest, total=False):
    id: str | OtherField | StringFilter
    imageId_tagType_tagId: ImageTag_imageId_tagType_tagId

class ImageTagData(TypedDict):
    id: NotRequired[str]
    imageId: NotRequired[str]
    tagType: ImageTagType
    tagId: str
    createdAt: NotRequired[datetime | str]

class ImageTagCreate(ImageTagData, total=False):
    image: ImageNewOne

class ImageTagChanges(TypedDict, total=False):
    id: str | SetTo[str]
    imageId: str | SetTo[str]
    tagType: ImageTagType | SetTo[ImageTagType]
    tagId: str | SetTo[str]
    createdAt: datetime | str | SetTo[datetime | str]

class ImageTagUpdate(ImageTagChanges, total=False):
    image: ImageEditOne

class ImageTagNewMany(NewMany[ImageTagCreate, ImageTagData, ImageTagUnique], total=False): ...
class ImageTagEditMany(
    EditMany[
        ImageTagCreate,
        ImageTagData,
        ImageTagUpdate,
        ImageTagChanges,
        ImageTagUnique,
        ImageTagWhere,
    ],
    total=False,
): ...
class ImageTagShownMany(
    ShownMany[
        ImageTagWhere,
        ImageTagUnique,
        ImageTagOrder,
        ImageTagInclude,
        ImageTagSelect,
        ImageTagField,
    ],
    total=False,
): ...

class ImageTagInclude(TypedDict, total=False):
    image: bool | ImageShownOne

class ImageTagSelect(ImageTagInclude, total=False):
    id: bool
    imageId: bool
    tagType: bool
    tagId: bool
    createdAt: bool

class ImageTagOrder(TypedDict, total=False):
    id: Sort
    imageId: Sort
    tagType: Sort
    tagId: Sort
    createdAt: Sort
    image: ImageOrder

class ImageTagActions(
    Actions[
        ImageTag,
        ImageTagField,
        ImageTagWhere,
        ImageTagUnique,
        ImageTagCreate,
        ImageTagData,
        ImageTagUpdate,
        ImageTagChanges,
        ImageTagOrder,
        ImageTagInclude,
        ImageTagSelect,
    ],
): ...
class ImageTagAsyncActions(
    AsyncActions[
        ImageTag,
        ImageTagField,
        ImageTagWhere,
        ImageTagUnique,
        ImageTagCreate,
        ImageTagData,
        ImageTagUpdate,
        ImageTagChanges,
        ImageTagOrder,
        ImageTagInclude,
        ImageTagSelect,
    ],
): ...

class ChatAvatarOverride(BareRecord, frozen=True, kw_only=True):
    """A character's avatar in one chat."""

    id: str
    chatId: str
    characterId: str
    imageId: str
    createdAt: DateTime
    chat: Chat
    character: Character
    image: Image

ChatAvatarOverrideField: TypeAlias = Literal[
    "id",
    "chatId",
    "characterId",
    "imageId",
    "createdAt",
]

class ChatAvatarOverride_chatId_characterId(TypedDict):
    chatId: str
    characterId: str

class ChatAvatarOverrideRest(TypedDict, total=False):
    AND: ChatAvatarOverrideWhere | Sequence[ChatAvatarOverrideWhere]
    NOT: ChatAvatarOverrideWhere | Sequence[ChatAvatarOverrideWhere]
    OR: Sequence[ChatAvatarOverrideWhere]
    chatId: str | OtherField | StringFilter
    characterId: str | OtherField | StringFilter
    imageId: str | OtherField | StringFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    chat: ChatOne
    character: CharacterOne
    image: ImageOne

class ChatAvatarOverrideWhere(ChatAvatarOverrideRest, total=False):
    id: str | OtherField | StringFilter
    chatId_characterId: ChatAvatarOverride_chatId_characterId

class ChatAvatarOverrideUnique(ChatAvatarOverrideRest, total=False):
    id: str | OtherField | StringFilter
    chatId_characterId: ChatAvatarOverride_chatId_characterId

class ChatAvatarOverrideData(TypedDict):
    id: NotRequired[str]
    chatId: NotRequired[str]
    characterId: NotRequired[str]
    imageId: NotRequired[str]
    createdAt: NotRequired[datetime | str]

class ChatAvatarOverrideCreate(ChatAvatarOverrideData, total=False):
    chat: ChatNewOne
    character: CharacterNewOne
    image: ImageNewOne

class ChatAvatarOverrideChanges(TypedDict, total=False):
    id: str | SetTo[str]
    chatId: str | SetTo[str]
    characterId: str | SetTo[str]
    imageId: str | SetTo[str]
    createdAt: datetime | str | SetTo[datetime | str]

class ChatAvatarOverrideUpdate(ChatAvatarOverrideChanges, total=False):
    chat: ChatEditOne
    character: CharacterEditOne
    image: ImageEditOne

class ChatAvatarOverrideNewMany(
    NewMany[
        ChatAvatarOverrideCreate,
        ChatAvatarOverrideData,
        ChatAvatarOverrideUnique,
    ],
    total=False,
): ...
class ChatAvatarOverrideEditMany(
    EditMany[
        ChatAvatarOverrideCreate,
        ChatAvatarOverrideData,
        ChatAvatarOverrideUpdate,
        ChatAvatarOverrideChanges,
        ChatAvatarOverrideUnique,
        ChatAvatarOverrideWhere,
    ],
    total=False,
): ...
class ChatAvatarOverrideShownMany(
    ShownMany[
        ChatAvatarOverrideWhere,
        ChatAvatarOverrideUnique,
        ChatAvatarOverrideOrder,
        ChatAvatarOverrideInclude,
        ChatAvatarOverrideSelect,
        ChatAvatarOverrideField,
    ],
    total=False,
): ...

class ChatAvatarOverrideInclude(TypedDict, total=False):
    chat: bool | ChatShownOne
    character: bool | CharacterShownOne
    image: bool | ImageShownOne

class ChatAvatarOverrideSelect(ChatAvatarOverrideInclude, total=False):
    id: bool
    chatId: bool
    characterId: bool
    imageId: bool
    createdAt: bool

class ChatAvatarOverrideOrder(TypedDict, total=False):
    id: Sort
    chatId: Sort
    characterId: Sort
    imageId: Sort
    createdAt: Sort
    chat: ChatOrder
    character: CharacterOrder
    image: ImageOrder

class ChatAvatarOverrideActions(
    Actions[
        ChatAvatarOverride,
        ChatAvatarOverrideField,
        ChatAvatarOverrideWhere,
        ChatAvatarOverrideUnique,
        ChatAvatarOverrideCreate,
        ChatAvatarOverrideData,
        ChatAvatarOverrideUpdate,
        ChatAvatarOverrideChanges,
        ChatAvatarOverrideOrder,
        ChatAvatarOverrideInclude,
        ChatAvatarOverrideSelect,
    ],
): ...
class ChatAvatarOverrideAsyncActions(
    AsyncActions[
        ChatAvatarOverride,
        ChatAvatarOverrideField,
        ChatAvatarOverrideWhere,
        ChatAvatarOverrideUnique,
        ChatAvatarOverrideCreate,
        ChatAvatarOverrideData,
        ChatAvatarOverrideUpdate,
        ChatAvatarOverrideChanges,
        ChatAvatarOverrideOrder,
        ChatAvatarOverrideInclude,
        ChatAvatarOverrideSelect,
    ],
): ...

class Tag(BareRecord, frozen=True, kw_only=True):
    """A user's label."""

    id: str
    userId: str
    name: str
    nameLower: str
    createdAt: DateTime
    updatedAt: DateTime
    user: User
    characterTags: list[CharacterTag]
    personaTags: list[PersonaTag]
    chatTags: list[ChatTag]
    connectionProfileTags: list[ConnectionProfileTag]
    imageProfileTags: list[ImageProfileTag]
    _count: Counts

TagField: TypeAlias = Literal[
    "id",
    "userId",
    "name",
    "nameLower",
    "createdAt",
    "updatedAt",
]

class Tag_userId_nameLower(TypedDict):
    userId: str
    nameLower: str

class TagRest(TypedDict, total=False):
    AND: TagWhere | Sequence[TagWhere]
    NOT: TagWhere | Sequence[TagWhere]
    OR: Sequence[TagWhere]
    userId: str | OtherField | StringFilter
    name: str | OtherField | StringFilter
    nameLower: str | OtherField | StringFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    user: UserOne
    characterTags: ListFilter[CharacterTagWhere]
    personaTags: ListFilter[PersonaTagWhere]
    chatTags: ListFilter[ChatTagWhere]
    connectionProfileTags: ListFilter[ConnectionProfileTagWhere]
    imageProfileTags: ListFilter[ImageProfileTagWhere]

class TagWhere(TagRest, total=False):
    id: str | OtherField | StringFilter
    userId_nameLower: Tag_userId_nameLower

class TagUnique(TagRest, total=False):
    id: str | OtherField | StringFilter
    userId_nameLower: Tag_userId_nameLower

TagIs = TypedDict(
    "TagIs",
    {
        "is": TagWhere | None,
        "is_not": TagWhere | None,
        "isNot": TagWhere | None,
    },
    total=False,
)

class TagOne(TagWhere, TagIs, total=False): ...

class TagData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    name: str
    nameLower: str
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class TagCreate(TagData, total=False):
    user: UserNewOne
    characterTags: CharacterTagNewMany
    personaTags: PersonaTagNewMany
    chatTags: ChatTagNewMany
    connectionProfileTags: ConnectionProfileTagNewMany
    imageProfileTags: ImageProfileTagNewMany

class TagChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    name: str | SetTo[str]
    nameLower: str | SetTo[str]
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class TagUpdate(TagChanges, total=False):
    user: UserEditOne
    characterTags: CharacterTagEditMany
    personaTags: PersonaTagEditMany
    chatTags: ChatTagEditMany
    connectionProfileTags: ConnectionProfileTagEditMany
    imageProfileTags: ImageProfileTagEditMany

class TagNewOne(NewOne[TagCreate, TagUnique], total=False): ...
class TagNewMany(NewMany[TagCreate, TagData, TagUnique], total=False): ...
class TagEditOne(EditOne[TagCreate, TagUpdate, TagUnique, TagWhere], total=False): ...
class TagEditMany(
    EditMany[
        TagCreate,
        TagData,
        TagUpdate,
        TagChanges,
        TagUnique,
        TagWhere,
    ],
    total=False,
): ...
class TagShownOne(ShownOne[TagWhere, TagInclude, TagSelect, TagField], total=False): ...
class TagShownMany(
    ShownMany[
        TagWhere,
        TagUnique,
        TagOrder,
        TagInclude,
        TagSelect,
        TagField,
    ],
    total=False,
): ...

class TagCounted(TypedDict, total=False):
    characterTags: bool | CountWhere[CharacterTagWhere]
    personaTags: bool | CountWhere[PersonaTagWhere]
    chatTags: bool | CountWhere[ChatTagWhere]
    connectionProfileTags: bool | CountWhere[ConnectionProfileTagWhere]
    imageProfileTags: bool | CountWhere[ImageProfileTagWhere]

class TagInclude(TypedDict, total=False):
    user: bool | UserShownOne
    characterTags: bool | CharacterTagShownMany
    personaTags: bool | PersonaTagShownMany
    chatTags: bool | ChatTagShownMany
    connectionProfileTags: bool | ConnectionProfileTagShownMany
    imageProfileTags: bool | ImageProfileTagShownMany
    _count: bool | CountSelect[TagCounted]

class TagSelect(TagInclude, total=False):
    id: bool
    userId: bool
    name: bool
    nameLower: bool
    createdAt: bool
    updatedAt: bool

class TagOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    name: Sort
    nameLower: Sort
    createdAt: Sort
    updatedAt: Sort
    user: UserOrder
    characterTags: SortCount
    personaTags: SortCount
    chatTags: SortCount
    connectionProfileTags: SortCount
    imageProfileTags: SortCount

class TagActions(
    Actions[
        Tag,
        TagField,
        TagWhere,
        TagUnique,
        TagCreate,
        TagData,
        TagUpdate,
        TagChanges,
        TagOrder,
        TagInclude,
        TagSelect,
    ],
): ...
class TagAsyncActions(
    AsyncActions[
        Tag,
        TagField,
        TagWhere,
        TagUnique,
        TagCreate,
        TagData,
        TagUpdate,
        TagChanges,
        TagOrder,
        TagInclude,
        TagSelect,
    ],
): ...

class CharacterTag(BareRecord, frozen=True, kw_only=True):
    """A label on a character."""

    id: str
    characterId: str
    tagId: str
    createdAt: DateTime
    character: Character
    tag: Tag

CharacterTagField: TypeAlias = Literal["id", "characterId", "tagId", "createdAt"]

class CharacterTag_characterId_tagId(TypedDict):
    characterId: str
    tagId: str

class CharacterTagRest(TypedDict, total=False):
    AND: CharacterTagWhere | Sequence[CharacterTagWhere]
    NOT: CharacterTagWhere | Sequence[CharacterTagWhere]
    OR: Sequence[CharacterTagWhere]
    characterId: str | OtherField | StringFilter
    tagId: str | OtherField | StringFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    character: CharacterOne
    tag: TagOne

class CharacterTagWhere(CharacterTagRest, total=False):
    id: str | OtherField | StringFilter
    characterId_tagId: CharacterTag_characterId_tagId

class CharacterTagUnique(CharacterTagRest, total=False):
    id: str | OtherField | StringFilter
    characterId_tagId: CharacterTag_characterId_tagId

class CharacterTagData(TypedDict):
    id: NotRequired[str]
    characterId: NotRequired[str]
    tagId: NotRequired[str]
    createdAt: NotRequired[datetime | str]

class CharacterTagCreate(CharacterTagData, total=False):
    character: CharacterNewOne
    tag: TagNewOne

class CharacterTagChanges(TypedDict, total=False):
    id: str | SetTo[str]
    characterId: str | SetTo[str]
    tagId: str | SetTo[str]
    createdAt: datetime | str | SetTo[datetime | str]

class CharacterTagUpdate(CharacterTagChanges, total=False):
    character: CharacterEditOne
    tag: TagEditOne

class CharacterTagNewMany(
    NewMany[
        CharacterTagCreate,
        CharacterTagData,
        CharacterTagUnique,
    ],
    total=False,
): ...
class CharacterTagEditMany(
    EditMany[
        CharacterTagCreate,
        CharacterTagData,
        CharacterTagUpdate,
        CharacterTagChanges,
        CharacterTagUnique,
        CharacterTagWhere,
    ],
    total=False,
): ...
class CharacterTagShownMany(
    ShownMany[
        CharacterTagWhere,
        CharacterTagUnique,
        CharacterTagOrder,
        CharacterTagInclude,
        CharacterTagSelect,
        CharacterTagField,
    ],
    total=False,
): ...

class CharacterTagInclude(TypedDict, total=False):
    character: bool | CharacterShownOne
    tag: bool | TagShownOne

class CharacterTagSelect(CharacterTagInclude, total=False):
    id: bool
    characterId: bool
    tagId: bool
    createdAt: bool

class CharacterTagOrder(TypedDict, total=False):
    id: Sort
    characterId: Sort
    tagId: Sort
    createdAt: Sort
    character: CharacterOrder
    tag: TagOrder

class CharacterTagActions(
    Actions[
        CharacterTag,
        CharacterTagField,
        CharacterTagWhere,
        CharacterTagUnique,
        CharacterTagCreate,
        CharacterTagData,
        CharacterTagUpdate,
        CharacterTagChanges,
        CharacterTagOrder,
        CharacterTagInclude,
        CharacterTagSelect,
    ],
): ...
class CharacterTagAsyncActions(
    AsyncActions[
        CharacterTag,
        CharacterTagField,
        CharacterTagWhere,
        CharacterTagUnique,
        CharacterTagCreate,
        CharacterTagData,
        CharacterTagUpdate,
        CharacterTagChanges,
        CharacterTagOrder,
        CharacterTagInclude,
        CharacterTagSelect,
    ],
): ...

class PersonaTag(BareRecord, frozen=True, kw_only=True):
    """A label on a persona."""

    id: str
    personaId: str
    tagId: str
    createdAt: DateTime
    persona: Persona
    tag: Tag

PersonaTagField: TypeAlias = Literal["id", "personaId", "tagId", "createdAt"]

class PersonaTag_personaId_tagId(TypedDict):
    personaId: str
    tagId: str

class PersonaTagRest(TypedDict, total=False):
    AND: PersonaTagWhere | Sequence[PersonaTagWhere]
    NOT: PersonaTagWhere | Sequence[PersonaTagWhere]
    OR: Sequence[PersonaTagWhere]
    personaId: str | OtherField | StringFilter
    tagId: str | OtherField | StringFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    persona: PersonaOne
    tag: TagOne

class PersonaTagWhere(PersonaTagRest, total=False):
    id: str | OtherField | StringFilter
    personaId_tagId: PersonaTag_personaId_tagId

class PersonaTagUnique(PersonaTagRest, total=False):
    id: str | OtherField | StringFilter
    personaId_tagId: PersonaTag_personaId_tagId

class PersonaTagData(TypedDict):
    id: NotRequired[str]
    personaId: NotRequired[str]
    tagId: NotRequired[str]
    createdAt: NotRequired[datetime | str]

class PersonaTagCreate(PersonaTagData, total=False):
    persona: PersonaNewOne
    tag: TagNewOne

class PersonaTagChanges(TypedDict, total=False):
    id: str | SetTo[str]
    personaId: str | SetTo[str]
    tagId: str | SetTo[str]
    createdAt: datetime | str | SetTo[datetime | str]

class PersonaTagUpdate(PersonaTagChanges, total=False):
    persona: PersonaEditOne
    tag: TagEditOne

class PersonaTagNewMany(
    NewMany[
        PersonaTagCreate,
        PersonaTagData,
        PersonaTagUnique,
    ],
    total=False,
): ...
class PersonaTagEditMany(
    EditMany[
        PersonaTagCreate,
        PersonaTagData,
        PersonaTagUpdate,
        PersonaTagChanges,
        PersonaTagUnique,
        PersonaTagWhere,
    ],
    total=False,
): ...
class PersonaTagShownMany(
    ShownMany[
        PersonaTagWhere,
        PersonaTagUnique,
        PersonaTagOrder,
        PersonaTagInclude,
        PersonaTagSelect,
        PersonaTagField,
    ],
    total=False,
): ...

class PersonaTagInclude(TypedDict, total=False):
    persona: bool | PersonaShownOne
    tag: bool | TagShownOne

class PersonaTagSelect(PersonaTagInclude, total=False):
    id: bool
    personaId: bool
    tagId: bool
    createdAt: bool

class PersonaTagOrder(TypedDict, total=False):
    id: Sort
    personaId: Sort
    tagId: Sort
    createdAt: Sort
    persona: PersonaOrder
    tag: TagOrder

class PersonaTagActions(
    Actions[
        PersonaTag,
        PersonaTagField,
        PersonaTagWhere,
        PersonaTagUnique,
        PersonaTagCreate,
        PersonaTagData,
        PersonaTagUpdate,
        PersonaTagChanges,
        PersonaTagOrder,
        PersonaTagInclude,
        PersonaTagSelect,
    ],
): ...
class PersonaTagAsyncActions(
    AsyncActions[
        PersonaTag,
        PersonaTagField,
        PersonaTagWhere,
        PersonaTagUnique,
        PersonaTagCreate,
        PersonaTagData,
        PersonaTagUpdate,
        PersonaTagChanges,
        PersonaTagOrder,
        PersonaTagInclude,
        PersonaTagSelect,
    ],
): ...

class ChatTag(BareRecord, frozen=True, kw_only=True):
    """A label on a chat."""

    id: str
    chatId: str
    tagId: str
    createdAt: DateTime
    chat: Chat
    tag: Tag

ChatTagField: TypeAlias = Literal["id", "chatId", "tagId", "createdAt"]

class ChatTag_chatId_tagId(TypedDict):
    chatId: str
    tagId: str

class ChatTagRest(TypedDict, total=False):
    AND: ChatTagWhere | Sequence[ChatTagWhere]
    NOT: ChatTagWhere | Sequence[ChatTagWhere]
    OR: Sequence[ChatTagWhere]
    chatId: str | OtherField | StringFilter
    tagId: str | OtherField | StringFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    chat: ChatOne
    tag: TagOne

class ChatTagWhere(ChatTagRest, total=False):
    id: str | OtherField | StringFilter
    chatId_tagId: ChatTag_chatId_tagId

class ChatTagUnique(ChatTagRest, total=False):
    id: str | OtherField | StringFilter
    chatId_tagId: ChatTag_chatId_tagId

class ChatTagData(TypedDict):
    id: NotRequired[str]
    chatId: NotRequired[str]
    tagId: NotRequired[str]
    createdAt: NotRequired[datetime | str]

class ChatTagCreate(ChatTagData, total=False):
    chat: ChatNewOne
    tag: TagNewOne

class ChatTagChanges(TypedDict, total=False):
    id: str | SetTo[str]
    chatId: str | SetTo[str]
    tagId: str | SetTo[str]
    createdAt: datetime | str | SetTo[datetime | str]

class ChatTagUpdate(ChatTagChanges, total=False):
    chat: ChatEditOne
    tag: TagEditOne

class ChatTagNewMany(NewMany[ChatTagCreate, ChatTagData, ChatTagUnique], total=False): ...
class ChatTagEditMany(
    EditMany[
        ChatTagCreate,
        ChatTagData,
        ChatTagUpdate,
        ChatTagChanges,
        ChatTagUnique,
        ChatTagWhere,
    ],
    total=False,
): ...
class ChatTagShownMany(
    ShownMany[
        ChatTagWhere,
        ChatTagUnique,
        ChatTagOrder,
        ChatTagInclude,
        ChatTagSelect,
        ChatTagField,
    ],
    total=False,
): ...

class ChatTagInclude(TypedDict, total=False):
    chat: bool | ChatShownOne
    tag: bool | TagShownOne

class ChatTagSelect(ChatTagInclude, total=False):
    id: bool
    chatId: bool
    tagId: bool
    createdAt: bool

class ChatTagOrder(TypedDict, total=False):
    id: Sort
    chatId: Sort
    tagId: Sort
    createdAt: Sort
    chat: ChatOrder
    tag: TagOrder

class ChatTagActions(
    Actions[
        ChatTag,
        ChatTagField,
        ChatTagWhere,
        ChatTagUnique,
        ChatTagCreate,
        ChatTagData,
        ChatTagUpdate,
        ChatTagChanges,
        ChatTagOrder,
        ChatTagInclude,
        ChatTagSelect,
    ],
): ...
class ChatTagAsyncActions(
    AsyncActions[
        ChatTag,
        ChatTagField,
        ChatTagWhere,
        ChatTagUnique,
        ChatTagCreate,
        ChatTagData,
        ChatTagUpdate,
        ChatTagChanges,
        ChatTagOrder,
        ChatTagInclude,
        ChatTagSelect,
    ],
): ...

class ConnectionProfileTag(BareRecord, frozen=True, kw_only=True):
    """A label on a connection profile."""

    id: str
    connectionProfileId: str
    tagId: str
    createdAt: DateTime
    connectionProfile: ConnectionProfile
    tag: Tag

ConnectionProfileTagField: TypeAlias = Literal["id", "connectionProfileId", "tagId", "createdAt"]

class ConnectionProfileTag_connectionProfileId_tagId(TypedDict):
    connectionProfileId: str
    tagId: str

class ConnectionProfileTagRest(TypedDict, total=False):
    AND: ConnectionProfileTagWhere | Sequence[ConnectionProfileTagWhere]
    NOT: ConnectionProfileTagWhere | Sequence[ConnectionProfileTagWhere]
    OR: Sequence[ConnectionProfileTagWhere]
    connectionProfileId: str | OtherField | StringFilter
    tagId: str | OtherField | StringFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    connectionProfile: ConnectionProfileOne
    tag: TagOne

class ConnectionProfileTagWhere(ConnectionProfileTagRest, total=False):
    id: str | OtherField | StringFilter
    connectionProfileId_tagId: ConnectionProfileTag_connectionProfileId_tagId

class ConnectionProfileTagUnique(ConnectionProfileTagRest, total=False):
    id: str | OtherField | StringFilter
    connectionProfileId_tagId: ConnectionProfileTag_connectionProfileId_tagId

class ConnectionProfileTagData(TypedDict):
    id: NotRequired[str]
    connectionProfileId: NotRequired[str]
    tagId: NotRequired[str]
    createdAt: NotRequired[datetime | str]

class ConnectionProfileTagCreate(ConnectionProfileTagData, total=False):
    connectionProfile: ConnectionProfileNewOne
    tag: TagNewOne

class ConnectionProfileTagChanges(TypedDict, total=False):
    id: str | SetTo[str]
    connectionProfileId: str | SetTo[str]
    tagId: str | SetTo[str]
    createdAt: datetime | str | SetTo[datetime | str]

class ConnectionProfileTagUpdate(ConnectionProfileTagChanges, total=False):
    connectionProfile: ConnectionProfileEditOne
    tag: TagEditOne

class ConnectionProfileTagNewMany(
    NewMany[
        ConnectionProfileTagCreate,
        ConnectionProfileTagData,
        ConnectionProfileTagUnique,
    ],
    total=False,
): ...
class ConnectionProfileTagEditMany(
    EditMany[
        ConnectionProfileTagCreate,
        ConnectionProfileTagData,
        ConnectionProfileTagUpdate,
        ConnectionProfileTagChanges,
        ConnectionProfileTagUnique,
        ConnectionProfileTagWhere,
    ],
    total=False,
): ...
class ConnectionProfileTagShownMany(
    ShownMany[
        ConnectionProfileTagWhere,
        ConnectionProfileTagUnique,
        ConnectionProfileTagOrder,
        ConnectionProfileTagInclude,
        ConnectionProfileTagSelect,
        ConnectionProfileTagField,
    ],
    total=False,
): ...

class ConnectionProfileTagInclude(TypedDict, total=False):
    connectionProfile: bool | ConnectionProfileShownOne
    tag: bool | TagShownOne

class ConnectionProfileTagSelect(ConnectionProfileTagInclude, total=False):
    id: bool
    connectionProfileId: bool
    tagId: bool
    createdAt: bool

class ConnectionProfileTagOrder(TypedDict, total=False):
    id: Sort
    connectionProfileId: Sort
    tagId: Sort
    createdAt: Sort
    connectionProfile: ConnectionProfileOrder
    tag: TagOrder

class ConnectionProfileTagActions(
    Actions[
        ConnectionProfileTag,
        ConnectionProfileTagField,
        ConnectionProfileTagWhere,
        ConnectionProfileTagUnique,
        ConnectionProfileTagCreate,
        ConnectionProfileTagData,
        ConnectionProfileTagUpdate,
        ConnectionProfileTagChanges,
        ConnectionProfileTagOrder,
        ConnectionProfileTagInclude,
        ConnectionProfileTagSelect,
    ],
): ...
class ConnectionProfileTagAsyncActions(
    AsyncActions[
        ConnectionProfileTag,
        ConnectionProfileTagField,
        ConnectionProfileTagWhere,
        ConnectionProfileTagUnique,
        ConnectionProfileTagCreate,
        ConnectionProfileTagData,
        ConnectionProfileTagUpdate,
        ConnectionProfileTagChanges,
        ConnectionProfileTagOrder,
        ConnectionProfileTagInclude,
        ConnectionProfileTagSelect,
    ],
): ...

class ImageProfile(BareRecord, frozen=True, kw_only=True):
    """Which provider, model and key make images."""

    id: str
    userId: str
    name: str
    provider: ImageProvider
    apiKeyId: str | None
    baseUrl: str | None
    modelName: str
    parameters: Any
    isDefault: bool
    createdAt: DateTime
    updatedAt: DateTime
    user: User
    apiKey: ApiKey | None
    chats: list[Chat]
    tags: list[ImageProfileTag]
    _count: Counts

ImageProfileField: TypeAlias = Literal[
    "id",
    "userId",
    "name",
    "provider",
    "apiKeyId",
    "baseUrl",
    "modelName",
    "parameters",
    "isDefault",
    "createdAt",
    "updatedAt",
]

class ImageProfile_userId_name(TypedDict):
    userId: str
    name: str

class ImageProfileRest(TypedDict, total=False):
    AND: ImageProfileWhere | Sequence[ImageProfileWhere]
    NOT: ImageProfileWhere | Sequence[ImageProfileWhere]
    OR: Sequence[ImageProfileWhere]
    userId: str | OtherField | StringFilter
    name: str | OtherField | StringFilter
    provider: ImageProvider | OtherField | ImageProviderFilter
    apiKeyId: str | OtherField | StringOrNullFilter | None
    baseUrl: str | OtherField | StringOrNullFilter | None
    modelName: str | OtherField | StringFilter
    parameters: JsonFilter
    isDefault: bool | OtherField | BooleanFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    updatedAt: datetime | str | OtherField | DateTimeFilter
    user: UserOne
    apiKey: ApiKeyOne | None
    chats: ListFilter[ChatWhere]
    tags: ListFilter[ImageProfileTagWhere]

class ImageProfileWhere(ImageProfileRest, total=False):
    id: str | OtherField | StringFilter
    userId_name: ImageProfile_userId_name

class ImageProfileUnique(ImageProfileRest, total=False):
    id: str | OtherField | StringFilter
    userId_name: ImageProfile_userId_name

ImageProfileIs = TypedDict(
    "ImageProfileIs",
    {
        "is": ImageProfileWhere | None,
        "is_not": ImageProfileWhere | None,
        "isNot": ImageProfileWhere | None,
    },
    total=False,
)

class ImageProfileOne(ImageProfileWhere, ImageProfileIs, total=False): ...

class ImageProfileData(TypedDict):
    id: NotRequired[str]
    userId: NotRequired[str]
    name: str
    provider: ImageProvider
    apiKeyId: NotRequired[str | None]
    baseUrl: NotRequired[str | None]
    modelName: str
    parameters: NotRequired[Any]
    isDefault: NotRequired[bool]
    createdAt: NotRequired[datetime | str]
    updatedAt: NotRequired[datetime | str]

class ImageProfileCreate(ImageProfileData, total=False):
    user: UserNewOne
    apiKey: ApiKeyNewOne
    chats: ChatNewMany
    tags: ImageProfileTagNewMany

class ImageProfileChanges(TypedDict, total=False):
    id: str | SetTo[str]
    userId: str | SetTo[str]
    name: str | SetTo[str]
    provider: ImageProvider | SetTo[ImageProvider]
    apiKeyId: str | SetTo[str | None] | None
    baseUrl: str | SetTo[str | None] | None
    modelName: str | SetTo[str]
    parameters: Any
    isDefault: bool | SetTo[bool]
    createdAt: datetime | str | SetTo[datetime | str]
    updatedAt: datetime | str | SetTo[datetime | str]

class ImageProfileUpdate(ImageProfileChanges, total=False):
    user: UserEditOne
    apiKey: ApiKeyEditOptional
    chats: ChatEditMany
    tags: ImageProfileTagEditMany

class ImageProfileNewOne(NewOne[ImageProfileCreate, ImageProfileUnique], total=False): ...
class ImageProfileNewMany(
    NewMany[
        ImageProfileCreate,
        ImageProfileData,
        ImageProfileUnique,
    ],
    total=False,
): ...
class ImageProfileEditOne(
    EditOne[
        ImageProfileCreate,
        ImageProfileUpdate,
        ImageProfileUnique,
        ImageProfileWhere,
    ],
    total=False,
): ...
class ImageProfileEditOptional(
    EditOptional[
        ImageProfileCreate,
        ImageProfileUpdate,
        ImageProfileUnique,
        ImageProfileWhere,
    ],
    total=False,
): ...
class ImageProfileEditMany(
    EditMany[
        ImageProfileCreate,
        ImageProfileData,
        ImageProfileUpdate,
        ImageProfileChanges,
        ImageProfileUnique,
        ImageProfileWhere,
    ],
    total=False,
): ...
class ImageProfileShownOne(
    ShownOne[
        ImageProfileWhere,
        ImageProfileInclude,
        ImageProfileSelect,
        ImageProfileField,
    ],
    total=False,
): ...
class ImageProfileShownMany(
    ShownMany[
        ImageProfileWhere,
        ImageProfileUnique,
        ImageProfileOrder,
        ImageProfileInclude,
        ImageProfileSelect,
        ImageProfileField,
    ],
    total=False,
): ...

class ImageProfileCounted(TypedDict, total=False):
    chats: bool | CountWhere[ChatWhere]
    tags: bool | CountWhere[ImageProfileTagWhere]

class ImageProfileInclude(TypedDict, total=False):
    user: bool | UserShownOne
    apiKey: bool | ApiKeyShownOne
    chats: bool | ChatShownMany
    tags: bool | ImageProfileTagShownMany
    _count: bool | CountSelect[ImageProfileCounted]

class ImageProfileSelect(ImageProfileInclude, total=False):
    id: bool
    userId: bool
    name: bool
    provider: bool
    apiKeyId: bool
    baseUrl: bool
    modelName: bool
    parameters: bool
    isDefault: bool
    createdAt: bool
    updatedAt: bool

class ImageProfileOrder(TypedDict, total=False):
    id: Sort
    userId: Sort
    name: Sort
    provider: Sort
    apiKeyId: Sort | SortNulls
    baseUrl: Sort | SortNulls
    modelName: Sort
    parameters: Sort
    isDefault: Sort
    createdAt: Sort
    updatedAt: Sort
    user: UserOrder
    apiKey: ApiKeyOrder
    chats: SortCount
    tags: SortCount

class ImageProfileActions(
    Actions[
        ImageProfile,
        ImageProfileField,
        ImageProfileWhere,
        ImageProfileUnique,
        ImageProfileCreate,
        ImageProfileData,
        ImageProfileUpdate,
        ImageProfileChanges,
        ImageProfileOrder,
        ImageProfileInclude,
        ImageProfileSelect,
    ],
): ...
class ImageProfileAsyncActions(
    AsyncActions[
        ImageProfile,
        ImageProfileField,
        ImageProfileWhere,
        ImageProfileUnique,
        ImageProfileCreate,
        ImageProfileData,
        ImageProfileUpdate,
        ImageProfileChanges,
        ImageProfileOrder,
        ImageProfileInclude,
        ImageProfileSelect,
    ],
): ...

class ImageProfileTag(BareRecord, frozen=True, kw_only=True):
    """A label on an image profile."""

    id: str
    imageProfileId: str
    tagId: str
    createdAt: DateTime
    imageProfile: ImageProfile
    tag: Tag

ImageProfileTagField: TypeAlias = Literal["id", "imageProfileId", "tagId", "createdAt"]

class ImageProfileTag_imageProfileId_tagId(TypedDict):
    imageProfileId: str
    tagId: str

class ImageProfileTagRest(TypedDict, total=False):
    AND: ImageProfileTagWhere | Sequence[ImageProfileTagWhere]
    NOT: ImageProfileTagWhere | Sequence[ImageProfileTagWhere]
    OR: Sequence[ImageProfileTagWhere]
    imageProfileId: str | OtherField | StringFilter
    tagId: str | OtherField | StringFilter
    createdAt: datetime | str | OtherField | DateTimeFilter
    imageProfile: ImageProfileOne
    tag: TagOne

class ImageProfileTagWhere(ImageProfileTagRest, total=False):
    id: str | OtherField | StringFilter
    imageProfileId_tagId: ImageProfileTag_imageProfileId_tagId

class ImageProfileTagUnique(ImageProfileTagRest, total=False):
    id: str | OtherField | StringFilter
    imageProfileId_tagId: ImageProfileTag_imageProfileId_tagId

class ImageProfileTagData(TypedDict):
    id: NotRequired[str]
    imageProfileId: NotRequired[str]
    tagId: NotRequired[str]
    createdAt: NotRequired[datetime | str]

class ImageProfileTagCreate(ImageProfileTagData, total=False):
    imageProfile: ImageProfileNewOne
    tag: TagNewOne

class ImageProfileTagChanges(TypedDict, total=False):
    id: str | SetTo[str]
    imageProfileId: str | SetTo[str]
    tagId: str | SetTo[str]
    createdAt: datetime | str | SetTo[datetime | str]

class ImageProfileTagUpdate(ImageProfileTagChanges, total=False):
    imageProfile: ImageProfileEditOne
    tag: TagEditOne

class ImageProfileTagNewMany(
    NewMany[
        ImageProfileTagCreate,
        ImageProfileTagData,
        ImageProfileTagUnique,
    ],
    total=False,
): ...
class ImageProfileTagEditMany(
    EditMany[
        ImageProfileTagCreate,
        ImageProfileTagData,
        ImageProfileTagUpdate,
        ImageProfileTagChanges,
        ImageProfileTagUnique,
        ImageProfileTagWhere,
    ],
    total=False,
): ...
class ImageProfileTagShownMany(
    ShownMany[
        ImageProfileTagWhere,
        ImageProfileTagUnique,
        ImageProfileTagOrder,
        ImageProfileTagInclude,
        ImageProfileTagSelect,
        ImageProfileTagField,
    ],
    total=False,
): ...

class ImageProfileTagInclude(TypedDict, total=False):
    imageProfile: bool | ImageProfileShownOne
    tag: bool | TagShownOne

class ImageProfileTagSelect(ImageProfileTagInclude, total=False):
    id: bool
    imageProfileId: bool
    tagId: bool
    createdAt: bool

class ImageProfileTagOrder(TypedDict, total=False):
    id: Sort
    imageProfileId: Sort
    tagId: Sort
    createdAt: Sort
    imageProfile: ImageProfileOrder
    tag: TagOrder

class ImageProfileTagActions(
    Actions[
        ImageProfileTag,
        ImageProfileTagField,
        ImageProfileTagWhere,
        ImageProfileTagUnique,
        ImageProfileTagCreate,
        ImageProfileTagData,
        ImageProfileTagUpdate,
        ImageProfileTagChanges,
        ImageProfileTagOrder,
        ImageProfileTagInclude,
        ImageProfileTagSelect,
    ],
): ...
class ImageProfileTagAsyncActions(
    AsyncActions[
        ImageProfileTag,
        ImageProfileTagField,
        ImageProfileTagWhere,
        ImageProfileTagUnique,
        ImageProfileTagCreate,
        ImageProfileTagData,
        ImageProfileTagUpdate,
        ImageProfileTagChanges,
        ImageProfileTagOrder,
        ImageProfileTagInclude,
        ImageProfileTagSelect,
    ],
): ...

class Models(Scope):
    """Accessors of the models, as a transaction has them."""

    user: UserActions
    chat_settings: ChatSettingsActions
    account: AccountActions
    session: SessionActions
    verification_token: VerificationTokenActions
    api_key: ApiKeyActions
    connection_profile: ConnectionProfileActions
    character: CharacterActions
    persona: PersonaActions
    character_persona: CharacterPersonaActions
    chat: ChatActions
    message: MessageActions
    chat_file: ChatFileActions
    image: ImageActions
    image_tag: ImageTagActions
    chat_avatar_override: ChatAvatarOverrideActions
    tag: TagActions
    character_tag: CharacterTagActions
    persona_tag: PersonaTagActions
    chat_tag: ChatTagActions
    connection_profile_tag: ConnectionProfileTagActions
    image_profile: ImageProfileActions
    image_profile_tag: ImageProfileTagActions
    @overload
    def __getitem__(self, model: Literal["User"]) -> UserActions: ...
    @overload
    def __getitem__(self, model: Literal["ChatSettings"]) -> ChatSettingsActions: ...
    @overload
    def __getitem__(self, model: Literal["Account"]) -> AccountActions: ...
    @overload
    def __getitem__(self, model: Literal["Session"]) -> SessionActions: ...
    @overload
    def __getitem__(self, model: Literal["VerificationToken"]) -> VerificationTokenActions: ...
    @overload
    def __getitem__(self, model: Literal["ApiKey"]) -> ApiKeyActions: ...
    @overload
    def __getitem__(self, model: Literal["ConnectionProfile"]) -> ConnectionProfileActions: ...
    @overload
    def __getitem__(self, model: Literal["Character"]) -> CharacterActions: ...
    @overload
    def __getitem__(self, model: Literal["Persona"]) -> PersonaActions: ...
    @overload
    def __getitem__(self, model: Literal["CharacterPersona"]) -> CharacterPersonaActions: ...
    @overload
    def __getitem__(self, model: Literal["Chat"]) -> ChatActions: ...
    @overload
    def __getitem__(self, model: Literal["Message"]) -> MessageActions: ...
    @overload
    def __getitem__(self, model: Literal["ChatFile"]) -> ChatFileActions: ...
    @overload
    def __getitem__(self, model: Literal["Image"]) -> ImageActions: ...
    @overload
    def __getitem__(self, model: Literal["ImageTag"]) -> ImageTagActions: ...
    @overload
    def __getitem__(self, model: Literal["ChatAvatarOverride"]) -> ChatAvatarOverrideActions: ...
    @overload
    def __getitem__(self, model: Literal["Tag"]) -> TagActions: ...
    @overload
    def __getitem__(self, model: Literal["CharacterTag"]) -> CharacterTagActions: ...
    @overload
    def __getitem__(self, model: Literal["PersonaTag"]) -> PersonaTagActions: ...
    @overload
    def __getitem__(self, model: Literal["ChatTag"]) -> ChatTagActions: ...
    @overload
    def __getitem__(self, model: Literal["ConnectionProfileTag"]) -> ConnectionProfileTagActions: ...
    @overload
    def __getitem__(self, model: Literal["ImageProfile"]) -> ImageProfileActions: ...
    @overload
    def __getitem__(self, model: Literal["ImageProfileTag"]) -> ImageProfileTagActions: ...
    @overload
    def __getitem__(self, model: str) -> Any: ...

class Client(Models, Connection[Models]):
    """A connection to the data, wherever it lives."""

class AsyncModels(AsyncScope):
    """Accessors of the models, as a transaction has them."""

    user: UserAsyncActions
    chat_settings: ChatSettingsAsyncActions
    account: AccountAsyncActions
    session: SessionAsyncActions
    verification_token: VerificationTokenAsyncActions
    api_key: ApiKeyAsyncActions
    connection_profile: ConnectionProfileAsyncActions
    character: CharacterAsyncActions
    persona: PersonaAsyncActions
    character_persona: CharacterPersonaAsyncActions
    chat: ChatAsyncActions
    message: MessageAsyncActions
    chat_file: ChatFileAsyncActions
    image: ImageAsyncActions
    image_tag: ImageTagAsyncActions
    chat_avatar_override: ChatAvatarOverrideAsyncActions
    tag: TagAsyncActions
    character_tag: CharacterTagAsyncActions
    persona_tag: PersonaTagAsyncActions
    chat_tag: ChatTagAsyncActions
    connection_profile_tag: ConnectionProfileTagAsyncActions
    image_profile: ImageProfileAsyncActions
    image_profile_tag: ImageProfileTagAsyncActions
    @overload
    def __getitem__(self, model: Literal["User"]) -> UserAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ChatSettings"]) -> ChatSettingsAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["Account"]) -> AccountAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["Session"]) -> SessionAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["VerificationToken"]) -> VerificationTokenAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ApiKey"]) -> ApiKeyAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ConnectionProfile"]) -> ConnectionProfileAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["Character"]) -> CharacterAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["Persona"]) -> PersonaAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["CharacterPersona"]) -> CharacterPersonaAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["Chat"]) -> ChatAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["Message"]) -> MessageAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ChatFile"]) -> ChatFileAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["Image"]) -> ImageAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ImageTag"]) -> ImageTagAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ChatAvatarOverride"]) -> ChatAvatarOverrideAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["Tag"]) -> TagAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["CharacterTag"]) -> CharacterTagAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["PersonaTag"]) -> PersonaTagAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ChatTag"]) -> ChatTagAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ConnectionProfileTag"]) -> ConnectionProfileTagAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ImageProfile"]) -> ImageProfileAsyncActions: ...
    @overload
    def __getitem__(self, model: Literal["ImageProfileTag"]) -> ImageProfileTagAsyncActions: ...
    @overload
    def __getitem__(self, model: str) -> Any: ...

class AsyncClient(AsyncModels, AsyncConnection[AsyncModels]):
    """A connection to the data, wherever it lives."""
